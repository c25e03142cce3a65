"""`kvprof size`: what models keep and what engines reserve."""

from __future__ import annotations

from itertools import product
from typing import Any

import click

from kvprof.commands.options import (
    COUNT,
    chosen_models,
    flatten,
    memory_options,
    model_options,
    output_options,
    point_options,
)


@click.command("size")
@model_options
@point_options(engine="logical", tokens="4k", sequences="1")
@memory_options
@click.option(
    "--max-model-len",
    type=COUNT,
    metavar="TOKENS",
    help="Longest sequence planned for  [default: --tokens]",
)
@click.option("--explain", is_flag=True, help="Say which fields of the config led to which cache.")
@output_options
@click.pass_obj
def command(session: Any, /, **options: Any) -> None:
    """Say what a model keeps and what an engine reserves, without touching memory.

    \b
    kvprof size --arch mla
    kvprof size --model gpt2-xl --model llama-3-8b --model deepseek-v3 --tokens 4096,128k
    kvprof size --config ./config.json --engine logical,paged --block-size 16,64 --sequences 32
    """  # noqa: D301 - \b is for click
    from msgspec.structs import replace  # noqa: PLC0415

    from kvprof.case import Case  # noqa: PLC0415
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.contexts import context_points  # noqa: PLC0415
    from kvprof.errors import UsageError  # noqa: PLC0415
    from kvprof.explain import explained  # noqa: PLC0415
    from kvprof.memory import cache_memory, weights_bytes  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415
    from kvprof.reasons import reasons  # noqa: PLC0415
    from kvprof.registry import registry  # noqa: PLC0415
    from kvprof.size import Request, size_model  # noqa: PLC0415

    if options["weights"] is not None and options["device_memory"] is None:
        raise UsageError(
            "--weights is taken off --device-memory, which is not given",
            hint="Give --device-memory too, or --memory alone: what the cache may use.",
        )
    destination = Destination(options["output"], force=options["force"])
    engines = [registry().engine(n).what for n in flatten(options["engine"]) or ("logical",)]
    results = []
    for model in chosen_models(options["arch"], options["model"], options["config"]):
        memory = cache_memory(
            options["memory"],
            options["device_memory"],
            weights_bytes(options["weights"], model),
        )
        for engine, tokens, sequences, block_size in product(
            engines,
            flatten(options["tokens"]) or (4096,),
            flatten(options["sequences"]) or (1,),
            flatten(options["block_size"]) or (None,),
        ):
            request = Request(
                tokens=tokens,
                sequences=sequences,
                encoder_tokens=options["encoder_tokens"],
                block_size=block_size,
                memory_bytes=memory,
                max_model_len=options["max_model_len"],
                cache_dtype=options["cache_dtype"],
                state_dtype=options["state_dtype"],
            )
            result = size_model(model, engine, request)
            result = replace(result, reasons=reasons(result))
            if len(engines) > 1:
                points = context_points(Case(model, engine, request), memory)
                result = replace(result, contexts=points)
            results.append(explained(result, model) if options["explain"] else result)
    emit("size", results, destination, options["format_"], session)
