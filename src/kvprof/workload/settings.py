"""The text of ``--synthetic`` in, checked settings of a `Synthetic` out; imports nothing heavy."""

from __future__ import annotations

import math
from typing import NamedTuple

from kvprof.errors import UsageError
from kvprof.units import parse_tokens

SHAREGPT_PROMPT_TOKENS = 161.31
SHAREGPT_OUTPUT_TOKENS = 337.99
"""Mean lengths of ShareGPT as PagedAttention measured them (SOSP'23, section 6.1)."""

SPREAD = 1.0
"""Spread of log lengths: chat logs have medians of about 0.6 of their means."""

PAUSE_S = 60.0
REQUESTS = 10_000
MOST_REQUESTS = 1_000_000_000


class Setting(NamedTuple):
    """One setting: the field of `Synthetic`, what it may be, and whether it must be whole."""

    field: str
    least: float
    most: float
    whole: bool = False


SETTINGS = {
    "requests": Setting("requests", 1, MOST_REQUESTS, whole=True),
    "prompt-tokens": Setting("prompt_tokens", 1, 10_000_000),
    "output-tokens": Setting("output_tokens", 1, 10_000_000),
    "spread": Setting("log_stddev", 0, 3),
    "longest-tokens": Setting("longest_tokens", 2, 2**30, whole=True),
    "turns": Setting("turns", 1, 1000),
    "pause": Setting("pause_s", 0, 1e9),
}


def parse_synthetic(text: str) -> dict[str, float]:
    """``turns=4,prompt-tokens=2000`` as fields of a `Synthetic` and their values.

    Raises
    ------
    UsageError
        For a setting that there is not, one that is given twice, or a value that it cannot have.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        setting = SETTINGS.get(name)
        if setting is None or not equals:
            raise UsageError(
                f"{part.strip()[:40]!r} is no setting of a synthetic workload",
                hint=f"Write it like turns=4,prompt-tokens=2000; there are {', '.join(SETTINGS)}.",
            )
        if setting.field in found:
            raise UsageError(f"{name} is given twice", hint="Give it once.")
        found[setting.field] = _value(name, setting, value)
    return found


def _value(name: str, setting: Setting, text: str) -> float:
    try:
        tokens = name.endswith("tokens") and text[-1:].isalpha()
        value = float(parse_tokens(text) if tokens else text)
    except (UsageError, ValueError):
        value = math.nan
    if not setting.least <= value <= setting.most or (setting.whole and value % 1):
        what = "a whole number" if setting.whole else "a number"
        raise UsageError(
            f"{name}={text[:40]} cannot be: it must be {what} from {setting.least:,g} "
            f"to {setting.most:,.10g}"
        )
    return int(value) if setting.whole else value
