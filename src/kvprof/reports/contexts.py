"""Size results of several engines in, one table for each model out: the engines side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvprof.accounting import wasted_ratio
from kvprof.plan import REQUEST_WASTES
from kvprof.reports.sheet import Column, Sheet
from kvprof.result import ContextPoint, SizeResult
from kvprof.units import format_bytes, format_ratio, format_tokens


def contexts_sheets(results: Sequence[SizeResult]) -> Iterator[Sheet]:
    """One row for each context and engine, of every model that was placed by several."""
    models: dict[str, dict[tuple[str, int | None], SizeResult]] = {}
    for result in results:
        if result.contexts:
            placed = models.setdefault(result.model.source, {})
            placed.setdefault((result.engine, result.block_size), result)
    for placed in models.values():
        yield _sheet(list(placed.values()))


def _sheet(results: Sequence[SizeResult]) -> Sheet:
    points = [point for result in results for point in result.contexts]
    wastes = [name for name in REQUEST_WASTES if any(name in point.waste for point in points)]
    fits = any(point.sequences_that_fit is not None for point in points)
    columns = (
        Column("tokens"),
        Column("engine", "left"),
        Column("logical"),
        Column("reserved"),
        Column("per token"),
        *(Column(name) for name in wastes),
        Column("wasted"),
        *((Column("sequences that fit"),) if fits else ()),
    )
    rows = tuple(
        _row(result, point, wastes, fits)
        for at in zip(*(result.contexts for result in results), strict=True)
        for result, point in zip(results, at, strict=True)
    )
    return Sheet(f"Engines side by side: one sequence of {results[0].model.name}", columns, rows)


def _row(
    result: SizeResult, point: ContextPoint, wastes: Sequence[str], fits: bool
) -> tuple[str, ...]:
    fitting = "-" if point.sequences_that_fit is None else f"{point.sequences_that_fit:,}"
    return (
        format_tokens(point.tokens),
        result.engine,
        format_bytes(point.logical),
        format_bytes(point.reserved),
        format_bytes(point.bytes_per_token),
        *(format_bytes(point.waste[name]) if name in point.waste else "-" for name in wastes),
        format_ratio(wasted_ratio(point.logical, point.reserved)),
        *((fitting,) if fits else ()),
    )
