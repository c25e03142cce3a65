"""The grid of ``gpu.py`` as Markdown: bandwidth, share of the ceiling and time of a launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from report_table import table

from kvprof.units import format_rate, format_seconds, format_tokens

BOUND_BELOW = 0.5
"""A launch that reaches less of the ceiling is bound by its launch and by latency."""


def grid_tables(rows: Any) -> Iterator[str]:
    """Sequences down, tokens across; nothing where nothing was measured."""
    if not rows:
        return
    yield "## One layer's read over batch and context"
    yield ""
    yield (
        "Shuffled blocks of 64 tokens, 1152 B a token; **bold** where less than "
        f"{BOUND_BELOW:g} of the ceiling is reached: there latency binds. - did not fit."
    )
    yield ""
    yield from _grid(rows, _bandwidth)
    yield from _grid(rows, lambda row: format_seconds(row["seconds"]))


def _bandwidth(row: dict[str, Any]) -> str:
    noisy = "~" if row["noisy"] else ""
    text = f"{noisy}{format_rate(row['bytes_per_s'])} ({row['ratio']:.2f})"
    return f"**{text}**" if row["ratio"] < BOUND_BELOW else text


def _grid(rows: Any, cell: Callable[[dict[str, Any]], str]) -> Iterator[str]:
    found = {(row["sequences"], row["tokens"]): row for row in rows}
    tokens = sorted({length for _, length in found})
    cells = (
        (
            str(count),
            *(cell(found[count, length]) if (count, length) in found else "-" for length in tokens),
        )
        for count in sorted({count for count, _ in found})
    )
    yield from table(("sequences", *(f"{format_tokens(one)} tokens" for one in tokens)), cells)
