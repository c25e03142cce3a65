"""Options that mean one thing for every verb, and the parsing of their values."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from kvprof.errors import UsageError
from kvprof.option_text import parse_option
from kvprof.units import parse_bytes, parse_tokens

if TYPE_CHECKING:
    from kvprof.model import Model

Command = TypeVar("Command", bound=Callable[..., Any])
Value = TypeVar("Value")

FORMATS = ("table", "json", "csv", "markdown")


class ListOf(click.ParamType, Generic[Value]):  # type: ignore[type-arg, unused-ignore]
    """One or several comma-separated values; an option that takes it may also be repeated."""

    def __init__(self, parse: Callable[[str], Value], name: str) -> None:
        self._parse = parse
        self.name = name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Value, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(_parsed(self._parse, part, param) for part in str(value).split(","))


class One(click.ParamType, Generic[Value]):  # type: ignore[type-arg, unused-ignore]
    """One value."""

    def __init__(self, parse: Callable[[str], Value], name: str) -> None:
        self._parse = parse
        self.name = name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Value:
        return _parsed(self._parse, str(value), param)


def _parsed(parse: Callable[[str], Value], text: str, param: click.Parameter | None) -> Value:
    try:
        return parse(text)
    except UsageError as error:
        option = param.opts[-1] if param else "an option"
        raise UsageError(f"{option}: {error.args[0]}", hint=error.hint) from None


def parse_count(text: str) -> int:
    """A whole number of at least 1."""
    count = parse_tokens(text, "sequences or tokens")
    if count < 1:
        raise UsageError(f"{text!r} is too small; it must be at least 1")
    return count


def parse_size(text: str) -> int:
    """Bytes, at least 1."""
    size = parse_bytes(text)
    if size < 1:
        raise UsageError(f"{text!r} is too small; it must be at least 1 byte")
    return size


def parse_seconds(text: str) -> float:
    """Seconds, more than 0 and at most a day."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= 86_400.0:
        raise UsageError(
            f"{text!r} is no usable time; it must be above 0 and at most 86400 seconds"
        )
    return seconds


def parse_cpus(text: str) -> tuple[int, ...]:
    """CPU numbers such as ``0-3,8``."""
    cpus: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        whole = first.isdecimal() and (last.isdecimal() or not dash) and len(part) <= 16
        if not whole or int(last or first) < int(first):
            raise UsageError(f"{text[:40]!r} is no list of CPUs", hint="Write it like 0-3,8.")
        cpus += range(int(first), min(int(last or first), 4095) + 1)
    return tuple(dict.fromkeys(cpus))


def parse_weights(text: str) -> str:
    """Bytes or ``auto``; kept as text, since what auto means depends on the model."""
    if text != "auto":
        parse_bytes(text)
    return text


def parse_drafted(text: str) -> int:
    """Tokens that are drafted ahead, at most 1024."""
    count = parse_tokens(text, "drafted tokens")
    if count > 1024:
        raise UsageError(f"{text!r} is too many; at most 1024 tokens are drafted ahead")
    return count


TOKENS = ListOf(parse_tokens, "tokens")
COUNTS = ListOf(parse_count, "count")
NAMES = ListOf(str.strip, "name")
COUNT = One(parse_count, "count")
BYTES = One(parse_size, "bytes")
SECONDS = One(parse_seconds, "seconds")


def flatten(groups: Sequence[tuple[Value, ...]]) -> tuple[Value, ...]:
    """The values of a repeated list option."""
    return tuple(value for group in groups for value in group)


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
            type=One(parse_tokens, "tokens"),
            default=0,
            help="Encoder positions that the cache keeps.",
        ),
        click.option(
            "--sequences",
            type=COUNTS,
            multiple=True,
            help=f"Sequences  [default: {sequences}]",
        ),
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
            type=One(parse_option, "setting"),
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
            help="Bytes of the weights; auto: from the catalogue, the index or the GGUF.",
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


def _paths(config: Sequence[str]) -> list[str]:
    """Paths, of which one option may hold several; a comma in an existing path is its own."""
    return [
        path
        for given in config
        for path in ([given] if os.path.exists(given) else given.split(","))
    ]
