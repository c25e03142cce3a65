"""The text of an option's value in, the value out; a value that cannot be one names the option."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import click

from kvprof.errors import UsageError
from kvprof.units import parse_bytes, parse_tokens

Value = TypeVar("Value")


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


def parse_option(text: str) -> tuple[str, str, str]:
    """``ENGINE.NAME=VALUE`` in its three parts.

    Raises
    ------
    UsageError
        When it is not written like that.
    """
    named, equals, value = text.partition("=")
    engine, dot, name = named.strip().partition(".")
    if not (equals and dot and engine and name and value.strip()):
        raise UsageError(
            f"{text[:60]!r} is no setting of an engine",
            hint="Write it like vllm.prefix_caching=off.",
        )
    return engine, name, value.strip()


TOKENS = ListOf(parse_tokens, "tokens")
COUNTS = ListOf(parse_count, "count")
NAMES = ListOf(str.strip, "name")
COUNT = One(parse_count, "count")
TOKEN_COUNT = One(parse_tokens, "tokens")
BYTES = One(parse_size, "bytes")
SECONDS = One(parse_seconds, "seconds")
SETTING = One(parse_option, "setting")


def flatten(groups: Sequence[tuple[Value, ...]]) -> tuple[Value, ...]:
    """The values of a repeated list option."""
    return tuple(value for group in groups for value in group)
