"""`kvprof size`: what models keep and what engines reserve."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvprof.commands.options import (
    chosen_engines,
    chosen_models,
    memory_options,
    model_options,
    output_options,
    point_options,
)
from kvprof.commands.values import COUNT, One, flatten, parse_drafted

if TYPE_CHECKING:
    from kvprof.hookspecs import Engine
    from kvprof.model import Model
    from kvprof.result import SizeResult
    from kvprof.size import Request


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
@click.option(
    "--max-batched-tokens",
    type=COUNT,
    metavar="TOKENS",
    help="Tokens computed at once, which engines plan for  [default: the engine's]",
)
@click.option(
    "--speculative",
    type=One(parse_drafted, "tokens"),
    default=0,
    metavar="TOKENS",
    help="Tokens drafted ahead by the model's own draft layers.",
)
@click.option(
    "--check-log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Predict what vLLM logged when it started, and compare.",
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
    kvprof size --model gemma-3-27b --engine vllm,sglang --memory 40GiB --max-model-len 32k
    """  # noqa: D301 - \b is for click
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.errors import UsageError  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    if options["weights"] is not None and options["device_memory"] is None:
        raise UsageError(
            "--weights is taken off --device-memory, which is not given",
            hint="Give --device-memory too, or --memory alone: what the cache may use.",
        )
    destination = Destination(options["output"], force=options["force"])
    models = chosen_models(options["arch"], options["model"], options["config"])
    if options["check_log"] is not None:
        results = [_checked(models, options)]
    else:
        results = list(_sized(models, options))
    emit("size", results, destination, options["format_"], session)


def _sized(models: list[Model], options: dict[str, Any]) -> Iterator[SizeResult]:
    from kvprof.commands.remarks import note_what_has_no_effect  # noqa: PLC0415

    engines = chosen_engines(options, "logical")
    for model in models:
        requests = list(_requests(model, options, tokens=4096))
        note_what_has_no_effect(
            model,
            speculative=options["speculative"],
            encoder_tokens=options["encoder_tokens"],
        )
        yield from _compared(model, engines, requests, explain=options["explain"])


def _compared(
    model: Model, engines: list[Engine], requests: list[Request], *, explain: bool
) -> list[SizeResult]:
    """Every engine at every request; one that refuses is left out, unless all of them do."""
    from kvprof.commands.remarks import warn_of_refusal, warn_of_too_little  # noqa: PLC0415
    from kvprof.errors import UsageError  # noqa: PLC0415
    from kvprof.explain import explained  # noqa: PLC0415

    placed: list[tuple[SizeResult, Request]] = []
    refusals: dict[str, UsageError] = {}
    for engine in engines:
        try:
            results = [_placed(model, engine, each, len(engines) > 1) for each in requests]
        except UsageError as refusal:
            refusals[engine.name] = refusal
        else:
            placed += zip(results, requests, strict=True)
    if not placed:
        raise next(iter(refusals.values()))
    for name, why in refusals.items():
        warn_of_refusal(model, name, why)
    for result, request in placed:
        warn_of_too_little(result, request)
    found = [result for result, _ in placed]
    return [explained(result, model) for result in found] if explain else found


def _placed(model: Model, engine: Engine, request: Request, compared: bool) -> SizeResult:
    """One point, with those at which engines are compared where there are several."""
    from msgspec.structs import replace  # noqa: PLC0415

    from kvprof.case import Case  # noqa: PLC0415
    from kvprof.contexts import context_points  # noqa: PLC0415
    from kvprof.size import size_model  # noqa: PLC0415

    result = size_model(model, engine, request)
    if not compared:
        return result
    return replace(result, contexts=context_points(Case(model, engine, request)))


def _requests(model: Model, options: dict[str, Any], tokens: int) -> Iterator[Request]:
    """One for each combination of tokens, sequences and block size."""
    from kvprof.memory import cache_memory, weights_bytes  # noqa: PLC0415
    from kvprof.size import Request  # noqa: PLC0415

    weights = weights_bytes(options["weights"], model)
    memory = cache_memory(options["memory"], options["device_memory"], weights)
    longest = options["max_model_len"]
    for length, sequences, block_size in product(
        flatten(options["tokens"]) or (min(tokens, longest or tokens),),
        flatten(options["sequences"]) or (1,),
        flatten(options["block_size"]) or (None,),
    ):
        _refuse_longer(length, longest)
        yield Request(
            tokens=length,
            sequences=sequences,
            encoder_tokens=options["encoder_tokens"],
            block_size=block_size,
            memory_bytes=memory,
            max_model_len=longest,
            cache_dtype=options["cache_dtype"],
            state_dtype=options["state_dtype"],
            max_batched_tokens=options["max_batched_tokens"],
            speculative=options["speculative"],
            tensor_parallel=options["tensor_parallel"],
            engine_options=options["engine_option"],
        )


def _refuse_longer(tokens: int, max_model_len: int | None) -> None:
    from kvprof.errors import UsageError  # noqa: PLC0415

    if max_model_len is not None and tokens > max_model_len:
        raise UsageError(
            f"--tokens {tokens} is more than --max-model-len {max_model_len}, the longest sequence "
            "that is planned for",
            hint="Give fewer --tokens or a larger --max-model-len; without it that is --tokens.",
        )


def _checked(models: list[Model], options: dict[str, Any]) -> SizeResult:
    """The one point that a log is about."""
    from msgspec.structs import replace  # noqa: PLC0415

    from kvprof.check_log import check_log, request_of  # noqa: PLC0415
    from kvprof.commands.remarks import warn  # noqa: PLC0415
    from kvprof.engine_log import read_log  # noqa: PLC0415
    from kvprof.engine_options import refuse_strays  # noqa: PLC0415
    from kvprof.errors import UsageError  # noqa: PLC0415
    from kvprof.model_names import plainly_differ  # noqa: PLC0415
    from kvprof.registry import registry  # noqa: PLC0415
    from kvprof.size import size_model  # noqa: PLC0415

    names = flatten(options["engine"]) or ("vllm",)
    several = len(models) > 1 or len(names) > 1
    requests = list(_requests(models[0], options, tokens=0))
    if several or len(requests) > 1:
        raise UsageError(
            "--check-log is about one model on one engine, and several points were asked for",
            hint="Give one --model or --config, and one value of each other option.",
        )
    engine = registry().engine(names[0]).what
    refuse_strays([engine], options["engine_option"])
    log = read_log(options["check_log"])
    if log.model is not None and plainly_differ(log.model, models[0]):
        warn(
            f"the log is of {log.model!r}, and {models[0].config.name!r} was chosen; figures of "
            "two models differ"
        )
    request = request_of(log, requests[0], models[0])
    checked = check_log(log, models[0], engine, request)
    return replace(size_model(models[0], engine, request), log=checked)
