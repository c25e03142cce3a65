"""Text to numbers and numbers to text: bytes, tokens, rates. No other module formats a unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from kvprof.errors import UsageError

MAX_TOKENS = 2**40
MAX_BYTES = 2**60

_LIKE_LENGTHS = "Write it like 32x512,8x4k: 32 sequences of 512 tokens and 8 of 4k."

_NUMBER = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)", re.ASCII)
_MANY_DIGITS = re.compile(r"\d{19,}(?:\.\d*)?\s*[A-Za-z]*$", re.ASCII)
_BYTE_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtpe", start=1):
    _BYTE_UNITS[f"{_letter}ib"] = _BYTE_UNITS[_letter] = 1024**_power
    _BYTE_UNITS[f"{_letter}b"] = 1000**_power
_TOKEN_UNITS = {"": 1, "k": 1024, "m": 1024**2}
_BINARY_PREFIXES = ("KiB", "MiB", "GiB", "TiB", "PiB")
_ROUNDS_UP = 0.9995
"""What three digits round to one of the next unit."""
_DECIMAL_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def _parse(text: str, units: dict[str, int], what: str, maximum: int) -> int:
    if _MANY_DIGITS.match(text.strip()):
        raise _unusable(text, "too large", what, maximum)
    match = _NUMBER.fullmatch(text.strip())
    scale = units.get(match[2].lower()) if match else None
    if match is None or scale is None:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise UsageError(
            f"{shown!r} is not a number of {what}", hint=f"Write it like {_like(what)}."
        )
    value = Fraction(match[1]) * scale
    if value > maximum:
        raise _unusable(text, "too large", what, maximum)
    if value.denominator != 1:
        raise _unusable(text, "not whole", what, maximum)
    return int(value)


def _unusable(text: str, why: str, what: str, maximum: int) -> UsageError:
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    return UsageError(
        f"{shown!r} is not a usable number of {what}: it is {why}; it must be whole and at most "
        f"{maximum}",
        hint=f"Write it like {_like(what)}.",
    )


def _like(what: str) -> str:
    return "65536, 512MiB or 80GiB" if what == "bytes" else "4096, 32k or 1m (k = 1024)"


def parse_bytes(text: str) -> int:
    """Bytes from ``65536``, ``512MiB`` (powers of 1024), ``16GB`` (powers of 1000) or ``4G``.

    Raises
    ------
    UsageError
        When the text is no such number, or the result is fractional or above 2**60.
    """
    return _parse(text, _BYTE_UNITS, "bytes", MAX_BYTES)


def parse_rate(text: str) -> float:
    """Bytes a second from ``3.35TB/s``, ``900 GB/s`` (powers of 1000) or ``2GiB/s``.

    Raises
    ------
    UsageError
        When the text is no such rate, or not above 0.
    """
    amount, slash, second = text.strip().partition("/")
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    refusal = UsageError(f"{shown!r} is no rate in bytes a second", hint="Write it like 3.35TB/s.")
    if second.strip() != ("s" if slash else ""):
        raise refusal
    try:
        rate = parse_bytes(amount)
    except UsageError:
        raise refusal from None
    if rate < 1:
        raise refusal
    return float(rate)


def parse_tokens(text: str, what: str = "tokens") -> int:
    """Tokens from ``4096``, ``32k`` or ``1m`` (k = 1024, as context lengths are named).

    Raises
    ------
    UsageError
        When the text is no such number, or the result is fractional or above 2**40.
    """
    return _parse(text, _TOKEN_UNITS, what, MAX_TOKENS)


def parse_lengths(text: str) -> tuple[tuple[int, int], ...]:
    """A batch of mixed lengths from ``32x512,8x4k``: sequences and their tokens, at least 1 each.

    Raises
    ------
    UsageError
        When the text is no such list.
    """
    return tuple(_parse_length(part) for part in text.split(","))


def _parse_length(text: str) -> tuple[int, int]:
    count, times, tokens = text.strip().lower().partition("x")
    if not times:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise UsageError(
            f"{shown!r} is not a number of sequences and their tokens", hint=_LIKE_LENGTHS
        )
    length = parse_tokens(count, "sequences"), parse_tokens(tokens)
    if min(length) < 1:
        raise UsageError(f"{text!r} has a 0; both numbers must be at least 1", hint=_LIKE_LENGTHS)
    return length


def format_bytes(count: float) -> str:
    """``436207616`` as ``416 MiB``: at least three significant digits, no trailing zeros."""
    scaled = float(count)
    if abs(count) < 1024:
        return f"{_trim(scaled)} B"
    for prefix in _BINARY_PREFIXES:
        scaled /= 1024
        if abs(scaled) < 1023.5 or prefix == _BINARY_PREFIXES[-1]:
            return f"{_trim(scaled)} {prefix}"
    raise AssertionError("unreachable")


def format_tokens(count: int) -> str:
    """``131072`` as ``128k``; numbers that are no multiple of 1024 as they are."""
    if count >= 1024 and count % 1024 == 0:
        return f"{count // 1024:,}k"
    return f"{count:,}"


def format_ranges(numbers: Sequence[int], most: int = 6) -> str:
    """Ascending numbers as ranges, ``0-4, 6``; after so many ranges how many numbers there are."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:most]]
    more = [f"... ({len(numbers)} in all)"] if len(ranges) > most else []
    return ", ".join(shown + more)


def format_plural(count: int, noun: str) -> str:
    """``1 sequence``, ``2 sequences``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_rate(bytes_per_s: float) -> str:
    """Bytes per second in GB/s (1e9), as bandwidth is quoted."""
    return (
        f"{bytes_per_s / 1e9:.3g} GB/s" if bytes_per_s < 1e12 else f"{bytes_per_s / 1e12:.3g} TB/s"
    )


def format_seconds(seconds: float) -> str:
    """Seconds with the unit that keeps three digits readable."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale * _ROUNDS_UP:
            return f"{_trim(seconds / scale)} {unit}"
    return f"{_trim(seconds / 1e-9)} ns"


def format_count(value: float) -> str:
    """``94123.4`` as ``94.1k``, for rates such as tokens per second."""
    for prefix, scale in _DECIMAL_PREFIXES:
        if value >= scale * _ROUNDS_UP:
            return f"{_trim(value / scale)}{prefix}"
    return _trim(value)


def format_ratio(ratio: float) -> str:
    """A ratio as a percentage with three digits at most."""
    return f"{_trim(100 * ratio)}%"


def _trim(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{round(value, digits) + 0.0:,.{digits}f}"  # + 0.0: no -0
    return text.rstrip("0").rstrip(".") if "." in text else text
