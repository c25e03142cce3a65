"""Models, engines and block sizes in, their replays of one workload side by side out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

from kvprof.commands.values import flatten

if TYPE_CHECKING:
    from kvprof.case import Case
    from kvprof.commands.workloads import Source
    from kvprof.replay.pace import Pace
    from kvprof.replay.run import Replayed


def cases_of(
    models: list[Any], engines: list[Any], options: dict[str, Any], longest: int
) -> Iterator[Case]:
    """One for each model, engine and block size."""
    from kvprof.case import Case  # noqa: PLC0415
    from kvprof.commands.remarks import note_what_has_no_effect  # noqa: PLC0415
    from kvprof.memory import cache_memory, weights_bytes  # noqa: PLC0415
    from kvprof.size import Request  # noqa: PLC0415

    for model in models:
        note_what_has_no_effect(model, speculative=0, encoder_tokens=options["encoder_tokens"])
    for model, engine, block_size in product(
        models, engines, flatten(options["block_size"]) or (None,)
    ):
        weights = weights_bytes(options["weights"], model)
        request = Request(
            tokens=longest,
            max_model_len=longest,
            encoder_tokens=options["encoder_tokens"],
            block_size=block_size,
            memory_bytes=cache_memory(options["memory"], options["device_memory"], weights),
            cache_dtype=options["cache_dtype"],
            state_dtype=options["state_dtype"],
            tensor_parallel=options["tensor_parallel"],
            engine_options=options["engine_option"],
        )
        yield Case(model, engine, request)


def side_by_side(
    cases: Iterable[Case], source: Source, pace: Pace, options: dict[str, Any], show: Any
) -> list[Replayed]:
    """Every case; one that its engine refuses is left out, unless all are.

    What takes no block size is replayed once, whatever sizes are asked for.
    """
    from kvprof.commands.remarks import warn  # noqa: PLC0415
    from kvprof.errors import TraceError, UsageError  # noqa: PLC0415

    found: list[Replayed] = []
    refusals: list[tuple[Case, UsageError]] = []
    without_size: dict[tuple[int, int], Replayed] = {}
    for case in cases:
        pair = id(case.model), id(case.engine)  # two configs may bear one name
        if pair in without_size:
            found.append(without_size[pair])
            continue
        try:
            replayed = _replayed(case, source, _paced(pace, case, options), show)
        except TraceError:
            raise
        except UsageError as error:
            refusals.append((case, error))
            continue
        found.append(replayed)
        if replayed.result.block_size is None:
            without_size[pair] = replayed
    if not found and refusals:
        raise refusals[0][1]
    for case, refusal in refusals:
        size = case.request.block_size
        at = "" if size is None else f" in blocks of {size:,}"
        name = case.model.config.name
        warn(f"{case.engine.name} is left out for {name}{at}: {refusal.args[0]}")
    return found


def _paced(pace: Pace, case: Case, options: dict[str, Any]) -> Pace:
    """The pace with the clock of the case's model, where ``--bandwidth`` asks for one."""
    from msgspec.structs import replace  # noqa: PLC0415

    from kvprof.memory import weights_bytes  # noqa: PLC0415
    from kvprof.replay.bandwidth import memory_time  # noqa: PLC0415

    if options["bandwidth"] is None:
        return pace
    weights = weights_bytes(options["weights"], case.model)
    time = memory_time(options["bandwidth"], case.model, case.engine.name, weights)
    return replace(pace, memory_time=time)


def _replayed(case: Case, source: Source, pace: Pace, show: Any) -> Replayed:
    from kvprof.replay.run import replay  # noqa: PLC0415
    from kvprof.replay_result import TraceSource  # noqa: PLC0415

    requests = max(1.0, source.requests)
    return replay(
        case,
        source.workload,
        pace,
        source=TraceSource(source.workload.name, source.format, source.notes),
        skipped_rows=source.skipped_rows,
        progress=lambda done: show(
            f"{case.engine.name}: {case.model.config.name}", done / requests
        ),
    )
