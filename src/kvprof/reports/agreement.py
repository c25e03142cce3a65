"""A layout against a real implementation in, a table for each number of tokens out."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.check_result import AgreementResult
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import format_ranges


def agreement_sheets(results: Sequence[AgreementResult]) -> Sequence[Sheet]:
    """What the layout says and what was kept, layers that keep the same on one line."""
    return [_sheet(result) for result in results]


def _sheet(result: AgreementResult) -> Sheet:
    layers: dict[tuple[int, int], list[int]] = {}
    for row in result.layers:
        layers.setdefault((row.expected_bytes, row.measured_bytes), []).append(row.layer)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return Sheet(
        f"{result.model}, made small, at {result.tokens} tokens",
        (
            Column("layers", "left", wraps=True),
            Column("layout B"),
            Column("kept B"),
            Column("agree", "left"),
        ),
        tuple(
            (
                format_ranges(indices, most=len(indices)),
                f"{says:,}",
                f"{kept:,}",
                "yes" if says == kept else "NO",
            )
            for (says, kept), indices in layers.items()
        ),
        (f"Bytes of one layer; model_type {result.model_type}, {result.dtype}, {versions}.",),
    )
