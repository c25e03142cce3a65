"""`kvprof replay`: request traces through engines' allocation policies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvprof.commands.options import (
    chosen_models,
    engine_settings,
    memory_options,
    model_options,
    output_options,
    stack,
)
from kvprof.commands.tracing import (
    opened_trace,
    pace_of,
    pace_options,
    trace_options,
    traces_option,
)
from kvprof.commands.values import COUNT, NAMES, TOKEN_COUNT, flatten

if TYPE_CHECKING:
    from kvprof.case import Case
    from kvprof.replay.run import Pace, Replayed
    from kvprof.replay_result import ReplayResult
    from kvprof.workload.trace import Trace

SERIES_SUFFIXES = (".csv", ".parquet")


def _case_options(command: Any) -> Any:
    return stack(
        command,
        click.option(
            "--engine",
            type=NAMES,
            multiple=True,
            help="Engines to replay it through, side by side  [default: paged]",
        ),
        click.option(
            "--encoder-tokens",
            type=TOKEN_COUNT,
            default=0,
            help="Encoder positions that each sequence keeps.",
        ),
        click.option(
            "--max-model-len",
            type=COUNT,
            metavar="TOKENS",
            help="Longest sequence; longer requests are rejected  [default: the trace's longest]",
        ),
        engine_settings,
    )


STEPPING = click.option(
    "--stepping",
    type=click.Choice(("blocks", "tokens")),
    default="blocks",
    show_default=True,
    help="Jump from block boundary to block boundary, or go token by token: same results.",
)


@click.command("replay")
@model_options
@traces_option(required=True)
@trace_options
@_case_options
@memory_options
@pace_options
@STEPPING
@click.option(
    "--series",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the time series there: .csv or .parquet.",
)
@output_options
@click.pass_obj
def command(session: Any, /, **options: Any) -> None:
    """Run a request trace through engines' allocators: where the bytes went, by name.

    \b
    kvprof replay --model llama-3-8b --trace conversation.jsonl --memory 40GiB
    kvprof replay --arch mla --trace sessions/ --memory 40GiB --engine vllm,sglang,orca-max
    kvprof replay --arch gqa --trace trace.jsonl --memory 8GiB --block-size 16,64 -o series.parquet
    """  # noqa: D301 - \b is for click
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    series, output = _destinations(options)
    destination = Destination(output, force=options["force"])
    series_destination = series and Destination(series, force=options["force"])
    replayed = list(_replayed(options))
    results: list[ReplayResult] = [each.result for each in replayed]
    if series is not None and series_destination:
        from msgspec.structs import replace  # noqa: PLC0415

        from kvprof.replay.series_file import write_series  # noqa: PLC0415

        write_series(series, replayed, series_destination)
        results = [replace(result, series_file=str(series)) for result in results]
    for result in results:
        for warning in result.warnings:
            click.echo(f"kvprof: warning: {result.engine}: {warning}", err=True)
    emit("replay", results, destination, options["format_"], session)


def _destinations(options: dict[str, Any]) -> tuple[Path | None, Path | None]:
    """Where the series goes and where the document goes.

    ``-o`` names the series when its name is that of one; a document as CSV is asked for by
    ``--format``.
    """
    from kvprof.errors import UsageError  # noqa: PLC0415

    series, output = options["series"], options["output"]
    if series is not None:
        if series.suffix not in SERIES_SUFFIXES:
            raise UsageError(
                f"--series {series}: a time series is written as .csv or .parquet",
                hint="Give a file name that ends in one of them.",
            )
        return series, output
    if output is None or output.suffix not in SERIES_SUFFIXES:
        return None, output
    if output.suffix == ".csv" and options["format_"] == "csv":
        return None, output
    return output, None


def _replayed(options: dict[str, Any]) -> Iterator[Replayed]:
    from kvprof.commands.progress import progress_display  # noqa: PLC0415

    pace = pace_of(options, jumps=options["stepping"] == "blocks")
    _check_memory(options)
    models = chosen_models(options["arch"], options["model"], options["config"])
    engines = _engines(options)
    with progress_display() as show:
        show("reading the trace", 0.0)
        with opened_trace(options) as trace:
            longest = options["max_model_len"] or _longest(trace)
            for case in _cases(models, engines, options, longest):
                yield _one(case, trace, pace, show)


def _longest(trace: Trace) -> int:
    from kvprof.replay.run import longest_request  # noqa: PLC0415

    return longest_request(trace)


def _check_memory(options: dict[str, Any]) -> None:
    from kvprof.errors import UsageError  # noqa: PLC0415

    if options["weights"] is not None and options["device_memory"] is None:
        raise UsageError(
            "--weights is taken off --device-memory, which is not given",
            hint="Give --device-memory too, or --memory alone: what the cache may use.",
        )
    if options["memory"] is None and options["device_memory"] is None:
        raise UsageError(
            "a replay is about a memory, and none is given",
            hint="Give --memory, e.g. --memory 40GiB, or --device-memory less --weights.",
        )


def _engines(options: dict[str, Any]) -> list[Any]:
    from kvprof.engine_options import refuse_strays  # noqa: PLC0415
    from kvprof.registry import registry  # noqa: PLC0415

    engines = [registry().engine(n).what for n in flatten(options["engine"]) or ("paged",)]
    refuse_strays(engines, options["engine_option"])
    return engines


def _cases(
    models: list[Any], engines: list[Any], options: dict[str, Any], longest: int
) -> Iterator[Case]:
    """One for each model, engine and block size."""
    from kvprof.case import Case  # noqa: PLC0415
    from kvprof.memory import cache_memory, weights_bytes  # noqa: PLC0415
    from kvprof.size import Request  # noqa: PLC0415

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


def _one(case: Case, trace: Trace, pace: Pace, show: Any) -> Replayed:
    from kvprof.replay.run import replay  # noqa: PLC0415
    from kvprof.replay_result import TraceSource  # noqa: PLC0415

    facts = trace.facts
    requests = max(1, facts.requests)
    return replay(
        case,
        trace,
        pace,
        source=TraceSource(trace.name, facts.format, facts.notes),
        skipped_rows=facts.skipped_rows,
        progress=lambda done: show(
            f"{case.engine.name}: {case.model.config.name}", done / requests
        ),
    )
