"""Options that mean one thing for every verb."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kvprof.commands.values import (
    BYTES,
    COUNT,
    COUNTS,
    NAMES,
    SETTING,
    TOKEN_COUNT,
    TOKENS,
    One,
    flatten,
    parse_weights,
)
from kvprof.errors import UsageError

if TYPE_CHECKING:
    from kvprof.hookspecs import Engine
    from kvprof.model import Model

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "json", "csv", "markdown")


def model_options(command: Command) -> Command:
    """``--arch``, ``--model``, ``--config``, ``--cache-dtype``, ``--state-dtype``."""
    return stack(
        command,
        click.option(
            "--arch",
            type=NAMES,
            multiple=True,
            metavar="LABEL",
            help="The reference model of a family: mha, gqa, mla, ... (repeatable).",
        ),
        click.option(
            "--model",
            type=NAMES,
            multiple=True,
            metavar="NAME",
            help="A model of `kvprof list models`, or a Hugging Face id: org/name (repeatable).",
        ),
        click.option(
            "--config",
            type=click.Path(),
            multiple=True,
            metavar="PATH",
            help="A config.json, its folder, a GGUF file, - for stdin, or a Hugging Face id "
            "(repeatable).",
        ),
        click.option(
            "--cache-dtype",
            default="auto",
            show_default=True,
            metavar="DTYPE",
            help="float32, float16, bfloat16, fp8, fp8_e4m3, fp8_e5m2, int8, nvfp4, "
            "int8_per_token_head, fp8_per_token_head, int4_per_token_head, fp8_ds_mla, "
            "fp8_ds_mla_v4, fp8_ds_mla_v41, nvfp4_ds_mla; auto: the config's.",
        ),
        click.option(
            "--state-dtype",
            default="auto",
            show_default=True,
            metavar="DTYPE",
            help="Of recurrent state; auto: the config's, else the cache dtype.",
        ),
    )


def point_options(*, engine: str, tokens: str, sequences: str) -> Callable[[Command], Command]:
    """What is sized, where and how often, and on how many ranks.

    The arguments say what a verb takes when the option is absent.
    """
    return lambda command: stack(
        command,
        click.option(
            "--engine",
            type=NAMES,
            multiple=True,
            help=f"Engines to place it  [default: {engine}]",
        ),
        click.option(
            "--tokens",
            type=TOKENS,
            multiple=True,
            help=f"Tokens held by each sequence, e.g. 4096,128k  [default: {tokens}]",
        ),
        click.option(
            "--encoder-tokens",
            type=TOKEN_COUNT,
            default=0,
            help="Encoder positions that the cache keeps.",
        ),
        click.option(
            "--sequences",
            type=COUNTS,
            multiple=True,
            help=f"Sequences  [default: {sequences}]",
        ),
        engine_settings,
    )


def engine_settings(command: Command) -> Command:
    """``--block-size``, ``--tensor-parallel``, ``--engine-option``."""
    return stack(
        command,
        click.option(
            "--block-size",
            type=COUNTS,
            multiple=True,
            metavar="TOKENS",
            help="Tokens of a block, for engines that take one.",
        ),
        click.option(
            "--tensor-parallel",
            type=COUNT,
            default=1,
            show_default=True,
            metavar="RANKS",
            help="Ranks that share the heads; figures are one rank's.",
        ),
        click.option(
            "--engine-option",
            type=SETTING,
            multiple=True,
            metavar="ENGINE.NAME=VALUE",
            help="A setting of an engine's own, e.g. vllm.prefix_caching=off (repeatable).",
        ),
    )


def memory_options(command: Command) -> Command:
    """``--memory``, ``--device-memory``, ``--weights``."""
    return stack(
        command,
        click.option("--memory", type=BYTES, help="Bytes that the cache may use, e.g. 40GiB."),
        click.option(
            "--device-memory",
            type=BYTES,
            help="Bytes of the device; the cache may use what --weights leaves.",
        ),
        click.option(
            "--weights",
            type=One(parse_weights, "weights"),
            metavar="BYTES|auto",
            help="Bytes of the weights; auto: from the catalogue, the files, a count in "
            "the config, or transformers.",
        ),
    )


def output_options(command: Command) -> Command:
    """``--format``, ``-o``, ``--force`` and ``--traceback``."""
    return stack(
        command,
        click.option(
            "--format",
            "format_",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="How the result is written.",
        ),
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Where it is written; - is stdout  [default: -]",
        ),
        click.option("--force", is_flag=True, help="Overwrite an existing FILE."),
        traceback_option,
    )


def traceback_option(command: Command) -> Command:
    """``--traceback``, which every verb takes as well as the program itself."""

    def remember(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
        ctx.obj.traceback = ctx.obj.traceback or wanted

    return click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Show the traceback of an error.",
    )(command)


def stack(command: Command, *options: Callable[[Command], Command]) -> Command:
    """A command with all of these options, in this order."""
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def chosen_models(
    arch: Sequence[tuple[str, ...]], model: Sequence[tuple[str, ...]], config: Sequence[str]
) -> list[Model]:
    """The models that the options name, in the order arch, model, config.

    Raises
    ------
    UsageError
        When they name none, or one that is unknown.
    """
    from kvprof.model import config_model, named_model, reference_model  # noqa: PLC0415

    chosen = [reference_model(name) for name in flatten(arch)]
    chosen += [named_model(name) for name in flatten(model)]
    chosen += [config_model(path) for path in _paths(config)]
    if not chosen:
        raise UsageError(
            "no model is given",
            hint="Try --arch mla, --model llama-3-8b or --config path/to/config.json.",
        )
    return chosen


def chosen_engines(options: dict[str, Any], default: str = "paged") -> list[Engine]:
    """The engines of ``--engine``, in that order.

    Raises
    ------
    UsageError
        When one is unknown, or an engine option is that of none of them.
    """
    from kvprof.engine_options import refuse_strays  # noqa: PLC0415
    from kvprof.registry import registry  # noqa: PLC0415

    engines = [registry().engine(name).what for name in flatten(options["engine"]) or (default,)]
    refuse_strays(engines, options["engine_option"])
    return engines


def _paths(config: Sequence[str]) -> list[str]:
    """Paths, of which one option may hold several; a comma in an existing path is its own."""
    return [
        path
        for given in config
        for path in ([given] if os.path.exists(given) else given.split(","))
    ]
