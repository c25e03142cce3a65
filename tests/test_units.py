"""Numbers with units, in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.errors import UsageError
from kvprof.units import (
    format_bytes,
    format_count,
    format_ratio,
    format_seconds,
    format_tokens,
    parse_bytes,
    parse_lengths,
    parse_tokens,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("65536", 65_536),
        ("512B", 512),
        ("1KiB", 1_024),
        ("4G", 4 * 1_073_741_824),
        ("80GiB", 85_899_345_920),  # 80 * 1024^3
        ("80GB", 80_000_000_000),  # as a datasheet counts
        ("1.5GiB", 1_610_612_736),  # 1.5 * 1024^3
        ("1.5 gib", 1_610_612_736),
        ("0.5k", 512),
        (" 2MiB ", 2_097_152),
        ("1024PiB", 2**60),
        ("1EiB", 2**60),
    ],
)
def test_bytes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4096", 4_096), ("128k", 131_072), ("1m", 1_048_576), ("0.5K", 512), ("1024M", 2**30)],
)
def test_tokens(text: str, expected: int) -> None:
    assert parse_tokens(text) == expected


def test_lengths() -> None:
    batch = parse_lengths("32x512,8x4k, 1X32K")
    assert batch == ((32, 512), (8, 4096), (1, 32_768))
    assert parse_lengths("3x5,3x5") == ((3, 5), (3, 5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is not a number of sequences and their tokens"),
        ("512", "'512' is not a number of sequences and their tokens"),
        ("1x5,", "'' is not a number of sequences and their tokens"),
        ("x5", "'' is not a number of sequences"),
        ("5x", "'' is not a number of tokens"),
        ("2x3x4", "'3x4' is not a number of tokens"),
        ("0x5", "'0x5' has a 0; both numbers must be at least 1"),
        ("5x0", "'5x0' has a 0; both numbers must be at least 1"),
        ("-1x5", "'-1' is not a number of sequences"),
        ("1x1.1k", "'1.1k' is not a usable number of tokens"),
        ("9" * 100, "9..."),
    ],
)
def test_what_is_no_list_of_lengths(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_lengths(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("parse", [parse_bytes, parse_tokens])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "abc",
        "-1",
        "+1",
        "1e30",
        "1e3",
        "nan",
        "inf",
        "0x10",
        "1,024",
        "1_024",
        "1.2.3",
        ".5k",
        "k",
        "1 2",
        "4 bananas",
        "9" * 5000,
        "١٢٣",  # Arabic digits: int() would take them
        "0.3",  # a fraction of a byte or token
        "1.0001k",
        "9" * 18,  # beyond any memory, or any context, when it is not bytes
    ],
)
def test_what_is_no_number_is_refused(parse: object, text: str) -> None:
    if text == "9" * 18 and parse is parse_bytes:
        text += "P"
    with pytest.raises(UsageError) as caught:
        parse(text)  # type: ignore[operator]
    assert caught.value.exit_code == 2
    assert repr(text[:40])[:-1] in str(caught.value), "it must show the value"
    assert len(str(caught.value)) < 300, "it must not print 5,000 digits"


def test_tokens_have_no_byte_units() -> None:
    with pytest.raises(UsageError, match="tokens"):
        parse_tokens("4KiB")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1_000, "1,000 B"),
        (1_023, "1,023 B"),
        (1_024, "1 KiB"),  # not "1024.000000 B"
        (1_025, "1 KiB"),
        (1_536, "1.5 KiB"),
        (70_272, "68.6 KiB"),  # DeepSeek-V3 per token: 68.625
        (307_200, "300 KiB"),  # GPT-2 XL per token
        (1_023 * 1_024, "1,023 KiB"),
        (1_024 * 1_024 - 1, "1 MiB"),  # would round to 1,024 KiB
        (1_024 * 1_024, "1 MiB"),
        (436_207_616, "416 MiB"),
        (2**40, "1 TiB"),
        (2**60, "1,024 PiB"),
    ],
)
def test_bytes_as_text(count: int, text: str) -> None:
    assert format_bytes(count) == text


@given(st.integers(0, 2**60))
def test_bytes_survive_the_way_to_text_and_back(count: int) -> None:
    """A text may round to three digits, never more, and never says 1,024 of a smaller unit."""
    number, unit = format_bytes(count).split(" ")
    value = float(number.replace(",", ""))
    scale = 1 if unit == "B" else parse_bytes(f"1{unit}")
    assert abs(value * scale - count) <= 0.005 * count
    assert value < 1024 or unit == "PiB"


@given(st.integers(0, 2**40))
def test_tokens_survive_the_way_to_text_and_back(count: int) -> None:
    assert parse_tokens(format_tokens(count).replace(",", "")) == count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ns"), (2.5e-8, "25 ns"), (1e-6, "1 us"), (0.0421, "42.1 ms"), (12.34, "12.3 s")],
)
def test_seconds_as_text(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_counts_and_ratios_as_text() -> None:
    assert format_count(94_123.4) == "94.1k"
    assert format_count(12.5) == "12.5"
    assert format_ratio(0.8574) == "85.7%"
    assert format_ratio(-0.00004) == "0%"


@pytest.mark.parametrize("text", ["9" * 20, "9" * 5000, "99999999999999k", f"{'9' * 19}.5k"])
def test_numbers_that_are_too_large_are_called_that(text: str) -> None:
    with pytest.raises(UsageError, match=r"it is too large; .*at most 1099511627776") as caught:
        parse_tokens(text)
    assert len(str(caught.value)) < 250
