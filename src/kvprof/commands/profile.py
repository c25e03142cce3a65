"""`kvprof profile`: allocate, stream, age, report."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import click

from kvprof.commands.options import (
    BYTES,
    SECONDS,
    One,
    chosen_models,
    flatten,
    memory_options,
    model_options,
    output_options,
    parse_cpus,
    point_options,
)

_TOUCH_SECONDS = 4.0
_TOUCH_SHARE = 0.4
"""What touching the default pool may take: seconds at most, and of the time budget."""


@click.command("profile")
@model_options
@point_options(
    engine="paged", tokens="up to 4k, as the pool takes", sequences="as many as tell enough"
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option(
    "--cpus",
    type=One(parse_cpus, "cpus"),
    metavar="LIST",
    help="CPUs to pin a thread to each, e.g. 0-3,8  [default: all usable]",
)
@click.option(
    "--stream-memory",
    type=BYTES,
    metavar="BYTES",
    help="Memory really allocated and streamed  [default: a quarter of what is free, at "
    "most 4GiB and what can be touched in about 4 s]",
)
@click.option(
    "--time-budget",
    type=SECONDS,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Time to measure each result in, touching the memory included.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Of the pool's bytes, the shuffled orders and the traffic.",
)
@memory_options
@output_options
@click.pass_obj
def command(session: Any, /, **options: Any) -> None:
    """Allocate, stream and age a model's inference memory, and report what was measured.

    \b
    kvprof profile --arch mla
    kvprof profile --model llama-3-8b --block-size 16,64 --tokens 1k --format json -o out.json
    kvprof profile --config ./config.json --weights auto --device-memory 80GiB
    """  # noqa: D301 - \b is for click
    from msgspec.structs import replace  # noqa: PLC0415

    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.commands.progress import progress_display  # noqa: PLC0415
    from kvprof.device import open_device  # noqa: PLC0415
    from kvprof.measure.pool import open_pool  # noqa: PLC0415
    from kvprof.measure.profile import profile_model  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415
    from kvprof.registry import registry  # noqa: PLC0415

    destination = Destination(options["output"], force=options["force"])
    engines = [registry().engine(n).what for n in flatten(options["engine"]) or ("paged",)]
    models = chosen_models(options["arch"], options["model"], options["config"])
    backend = open_device(options["device"], options["cpus"])
    points = [
        (model, engine, settings)
        for model, engine in product(models, engines)
        for settings in _settings(options, model, backend.facts.memory_bytes)
    ]
    results = []
    with progress_display() as progress:
        started = time.perf_counter()
        pool = open_pool(
            backend,
            options["stream_memory"],
            seed=options["seed"],
            touch_seconds=min(_TOUCH_SECONDS, _TOUCH_SHARE * options["time_budget"]),
            progress=progress,
        )
        for model, engine, settings in points:
            due = replace(settings, deadline=started + options["time_budget"])
            results.append(profile_model(model, engine, backend, pool, due, progress))
            started = time.perf_counter()
    emit("profile", results, destination, options["format_"], session)


def _settings(options: dict[str, Any], model: Any, device_memory: int) -> list[Any]:
    """One for each tokens x sequences x block size asked for."""
    from kvprof.measure.profile import Settings  # noqa: PLC0415
    from kvprof.memory import cache_memory, weights_bytes  # noqa: PLC0415
    from kvprof.size import Request  # noqa: PLC0415

    weights = weights_bytes(options["weights"], model)
    memory = cache_memory(options["memory"], options["device_memory"], weights)
    return [
        Settings(
            request=Request(
                tokens=tokens or 0,
                encoder_tokens=options["encoder_tokens"],
                block_size=block_size,
                cache_dtype=options["cache_dtype"],
                state_dtype=options["state_dtype"],
            ),
            tokens=tokens,
            sequences=sequences,
            weights_bytes=weights,
            capacity_bytes=max(0, device_memory - (weights or 0)) if memory is None else memory,
            deadline=0.0,
            seed=options["seed"],
        )
        for tokens, sequences, block_size in product(
            flatten(options["tokens"]) or (None,),
            flatten(options["sequences"]) or (None,),
            flatten(options["block_size"]) or (None,),
        )
    ]
