"""Profiles of one placement in several shapes in, bandwidth over batch and context out."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.profile_result import ProfileResult, StreamFacts
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import (
    format_bytes,
    format_count,
    format_rate,
    format_ratio,
    format_seconds,
    format_tokens,
)

ORDERS = ("contiguous", "fresh", "aged", "shuffled")
_LATENCY_BOUND = 0.5

_NOTES = (
    "latency: a read of fresh blocks reaches less than half of the share of the ceiling that the "
    "best row of its",
    "cache reaches: to start and to end a pass weighs as much as its bytes. ~ marks what is noisy.",
)


def grid_sheet(of: str, results: Sequence[ProfileResult]) -> Sheet:
    """One row for each shape and cache: its reads in four orders, and the time of a decode step."""
    columns = (
        Column("batch"),
        Column("cache", "left"),
        Column("reads"),
        *(Column(order) for order in ORDERS),
        Column("of ceiling"),
        Column("step"),
        Column("tokens/s"),
        Column("bound by", "left"),
    )
    caches = dict.fromkeys(s.cache for r in results for s in r.streams if s.op == "decode_read")
    rows = [
        _row(result, _reads(result, cache), _best_ratio(results, cache))
        for result in results
        for cache in (caches or {"": None})
    ]
    return Sheet(f"Bandwidth over batch and context: {of}", columns, tuple(rows), _NOTES)


def shape_text(result: ProfileResult) -> str:
    """``8 x 4k``, or all the lengths of a mixed batch."""
    return " + ".join(f"{n.sequences:,} x {format_tokens(n.tokens)}" for n in result.lengths)


def latency_bound(read: StreamFacts, best_ratio: float) -> bool:
    """Whether a read is too small for the bandwidth to tell: see the notes of the sheet."""
    return read.ratio_to_ceiling < _LATENCY_BOUND * min(1.0, best_ratio)


def _reads(result: ProfileResult, cache: str) -> dict[str, StreamFacts]:
    return {s.order: s for s in result.streams if (s.op, s.cache) == ("decode_read", cache)}


def _best_ratio(results: Sequence[ProfileResult], cache: str) -> float:
    reads = (_reads(result, cache).get("fresh") for result in results)
    return max((read.ratio_to_ceiling for read in reads if read), default=0.0)


def _row(result: ProfileResult, reads: dict[str, StreamFacts], best: float) -> tuple[str, ...]:
    fresh = reads.get("fresh")
    bound = "latency" if fresh and latency_bound(fresh, best) else "bandwidth"
    unsure = "?" if fresh and fresh.noisy else ""
    return (
        shape_text(result),
        fresh.cache if fresh else "-",
        format_bytes(fresh.bytes) if fresh else "-",
        *(_rate(reads.get(order)) for order in ORDERS),
        f"{'~' if fresh.noisy else ''}{format_ratio(fresh.ratio_to_ceiling)}" if fresh else "-",
        format_seconds(result.step.seconds),
        format_count(result.step.tokens_per_s),
        f"{bound}{unsure}" if fresh else "-",
    )


def _rate(read: StreamFacts | None) -> str:
    if read is None:
        return "-"
    return f"{'~' if read.noisy else ''}{format_rate(read.bytes_per_s)}"
