"""The balance of a plan's pools in, the table "Which fills first" out."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.reports.sheet import Column, Sheet
from kvprof.result import BalancePoint
from kvprof.units import format_bytes, format_ratio, format_tokens


def balance_sheet(of: str, points: Sequence[BalancePoint]) -> Sheet:
    """One row for each context and number of sequences; ``of`` says whose pools they are."""
    columns = (
        Column("context"),
        Column("sequences that fit"),
        Column("fills first", "left"),
        Column("filled by"),
        *(Column(f"{group.keep} {' '.join(group.caches)}") for group in points[0].groups),
        Column("idle"),
    )
    return Sheet(
        f"Which fills first: {of}", columns, tuple(dict.fromkeys(map(_row, points))), _NOTES
    )


_NOTES = (
    "Pools are divided for sequences of --max-model-len (else --tokens), and filled by those that "
    "fit (one where",
    "none does) or by as many as are asked for. Idle: left in the pools that are not full first, "
    "with those that fit.",
)


def _row(point: BalancePoint) -> tuple[str, ...]:
    fits = point.sequences_that_fit
    return (
        format_tokens(point.tokens),
        "any number" if fits is None else f"{fits:,}",
        " and ".join(point.fills_first) or "-",
        f"{point.sequences:,}",
        *("-" if group.fill is None else format_ratio(group.fill) for group in point.groups),
        format_bytes(point.idle_bytes),
    )
