"""`kvprof profile`: allocate, stream, age, report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from kvprof.commands.measuring import (
    allocation_policy,
    device_options,
    order_options,
    timing_options,
)
from kvprof.commands.options import (
    chosen_engines,
    chosen_models,
    memory_options,
    model_options,
    output_options,
    point_options,
)
from kvprof.commands.tracing import pace_of, pace_options, reading_options, source_options
from kvprof.commands.values import flatten
from kvprof.operations import OPERATIONS, STEP_OPERATIONS

if TYPE_CHECKING:
    from kvprof._core import Backend
    from kvprof.errors import DoesNotFitError
    from kvprof.measure.profile import Point, Settings
    from kvprof.measure.traffic import Traffic
    from kvprof.profile_result import ProfileResult
    from kvprof.size import Request

_TOUCH_SECONDS = 4.0
"""What touching the default pool may take."""
_BUDGET_SECONDS = 10.0
_GRID_BUDGET_SECONDS = 4.0


@click.command("profile")
@model_options
@point_options(
    engine="paged", tokens="up to 4k, as the pool takes", sequences="as many as tell enough"
)
@order_options
@device_options
@timing_options
@source_options
@reading_options
@pace_options
@memory_options
@output_options
@click.pass_obj
def command(session: Any, /, **options: Any) -> None:
    """Allocate, stream and age a model's inference memory, and report what was measured.

    Of several shapes those that the pool cannot hold are left out with a warning.

    \b
    kvprof profile --arch mla
    kvprof profile --model qwen2.5-0.5b --sequences 1,8,64 --tokens 512,4k --stream-memory 6GiB
    kvprof profile --model llama-3-8b --page-order nhd,hnd --outer layer,block --format json
    kvprof profile --config ./config.json --weights auto --device-memory 80GiB
    kvprof profile --model qwen2.5-0.5b --trace conversation.jsonl --prefix-cache on
    """  # noqa: D301 - \b is for click
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.measure.profile import Point  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    destination = Destination(options["output"], force=options["force"])
    engines = chosen_engines(options)
    models = chosen_models(options["arch"], options["model"], options["config"])
    shapes = _shapes(options)
    policy = allocation_policy(options)
    with _traffic(options) as traffic:
        backend = _opened(options)
        points = [
            Point(model, engine, settings)
            for model, engine in product(models, engines)
            for settings in _settings(options, shapes, model, backend.facts.memory_bytes, traffic)
        ]
        results, left_out = _profiled(points, backend, policy, options)
    for error in left_out:
        click.echo(f"kvprof: warning: left out: {error.args[0]}", err=True)
    emit("profile", results, destination, options["format_"], session)


def _profiled(
    points: list[Point], backend: Backend, policy: str, options: dict[str, Any]
) -> tuple[list[ProfileResult], list[DoesNotFitError]]:
    """The results of those points that the pool can hold, and why it cannot hold the others."""
    from kvprof.commands.progress import progress_display  # noqa: PLC0415
    from kvprof.device.failures import explained  # noqa: PLC0415
    from kvprof.measure.effort import ONE_PASS, THOROUGH  # noqa: PLC0415
    from kvprof.measure.jobs import Workbench  # noqa: PLC0415
    from kvprof.measure.pool import open_pool  # noqa: PLC0415
    from kvprof.measure.profile import profile_points  # noqa: PLC0415

    with progress_display() as progress, explained(backend):
        pool = open_pool(
            backend,
            options["stream_memory"],
            policy=policy,
            seed=options["seed"],
            touch_seconds=_TOUCH_SECONDS,
            progress=progress,
        )
        effort = ONE_PASS if options["profiler_safe"] else THOROUGH
        bench = Workbench(backend, pool, options["seed"], effort)
        return profile_points(bench, points, progress)


def _opened(options: dict[str, Any]) -> Backend:
    """The device, with the threads that were asked for."""
    from kvprof.cpus import cpus_for  # noqa: PLC0415
    from kvprof.device import open_device  # noqa: PLC0415
    from kvprof.errors import UsageError  # noqa: PLC0415

    cpus, threads = options["cpus"], options["threads"]
    if cpus is not None and threads is not None:
        raise UsageError("--threads and --cpus are two ways to say one thing; give one of them")
    return open_device(
        options["device"],
        cpus_for(threads) if threads else cpus,
        blocking=not options["profiler_safe"],
    )


def _shapes(options: dict[str, Any]) -> list[dict[str, Any]]:
    """The batches asked for: tokens x sequences, or mixed lengths."""
    from kvprof.errors import UsageError  # noqa: PLC0415

    tokens, sequences = flatten(options["tokens"]), flatten(options["sequences"])
    if options["lengths"] and (tokens or sequences):
        raise UsageError(
            "--lengths says how many sequences of how many tokens there are",
            hint="Give it alone, or --tokens and --sequences.",
        )
    if options["lengths"]:
        return [{"tokens": None, "sequences": None, "lengths": one} for one in options["lengths"]]
    return [
        {"tokens": length, "sequences": count, "lengths": ()}
        for length, count in product(tokens or (None,), sequences or (None,))
    ]


def _operations(options: dict[str, Any], shapes: int) -> tuple[frozenset[str], bool]:
    """The operations to time, and whether whole prefills are appended too."""
    asked = set(flatten(options["operations"])) or {"step" if shapes > 1 else "all"}
    named = asked - {"step", "all"}
    if "all" in asked:
        named = set(OPERATIONS)
    prefill = "append" in named
    return frozenset(named | set(STEP_OPERATIONS if "step" in asked else ())), prefill


@contextmanager
def _traffic(options: dict[str, Any]) -> Iterator[Traffic | None]:
    """The requests of ``--trace`` or ``--synthetic``, open as long; None without them."""
    from kvprof.commands.progress import progress_display  # noqa: PLC0415
    from kvprof.commands.workloads import check_source, open_source  # noqa: PLC0415
    from kvprof.errors import UsageError  # noqa: PLC0415
    from kvprof.measure.traffic import Traffic  # noqa: PLC0415
    from kvprof.replay.prefixes import hashed_tokens  # noqa: PLC0415

    pace = pace_of(options)
    if check_source(options) is None:
        if pace.prefix_cache:
            raise UsageError(
                "--prefix-cache on: blocks are found again by the hashes of a trace",
                hint="Give --trace or --synthetic, or leave --prefix-cache out.",
            )
        yield None
        return
    with ExitStack() as stack:
        with progress_display() as show:
            source = stack.enter_context(open_source(options, show))
        hashed_tokens(source.workload, pace)  # before memory is allocated
        yield Traffic(workload=source.workload, pace=pace, skipped_rows=source.skipped_rows)


def _settings(
    options: dict[str, Any],
    shapes: list[dict[str, Any]],
    model: Any,
    device_memory: int,
    traffic: Traffic | None,
) -> list[Settings]:
    """One for each shape x block size x memory order asked for."""
    from kvprof.measure.profile import Settings  # noqa: PLC0415
    from kvprof.memory import cache_memory, weights_bytes  # noqa: PLC0415

    weights = weights_bytes(options["weights"], model)
    memory = cache_memory(options["memory"], options["device_memory"], weights)
    operations, prefill = _operations(options, len(shapes))
    budget = options["time_budget"] or (
        _GRID_BUDGET_SECONDS if len(shapes) > 1 else _BUDGET_SECONDS
    )
    return [
        Settings(
            request=request,
            tokens=shape["tokens"],
            sequences=shape["sequences"],
            weights_bytes=weights,
            capacity_bytes=max(0, device_memory - (weights or 0)) if memory is None else memory,
            operations=operations,
            prefill=prefill,
            budget_seconds=budget,
            traffic=traffic,
        )
        for shape in shapes
        for request in _requests(options, shape)
    ]


def _requests(options: dict[str, Any], shape: dict[str, Any]) -> list[Request]:
    from kvprof.page_order import PageOrder  # noqa: PLC0415
    from kvprof.size import Request  # noqa: PLC0415

    return [
        Request(
            tokens=shape["tokens"] or 0,
            encoder_tokens=options["encoder_tokens"],
            block_size=block_size,
            cache_dtype=options["cache_dtype"],
            state_dtype=options["state_dtype"],
            tensor_parallel=options["tensor_parallel"],
            engine_options=options["engine_option"],
            order=PageOrder(*order),
            lengths=shape["lengths"],
        )
        for block_size, *order in product(
            flatten(options["block_size"]) or (None,),
            flatten(options["page_order"]) or ("nhd",),
            flatten(options["kv"]) or ("packed",),
            flatten(options["outer"]) or ("layer",),
        )
    ]
