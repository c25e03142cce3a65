"""Rows of `kvprof list traces` in, their table out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kvprof.document import Document
from kvprof.reports.sheet import Column, Sheet
from kvprof.trace_row import LengthFacts, TraceRow
from kvprof.units import format_plural, format_ratio

_COLUMNS = (
    Column("trace", "left", wraps=True),
    Column("format", "left"),
    Column("requests"),
    Column("span s"),
    Column("per s"),
    Column("prompt p50/p95/max"),
    Column("output p50/p95/max"),
    Column("sessions"),
    Column("block"),
    Column("reuse"),
)


def trace_sheets(document: Document) -> Sequence[Sheet]:
    """One table of all traces; under it what must be known of each."""
    rows = [row for row in document.results if isinstance(row, TraceRow)]
    notes = tuple(f"{Path(row.path).name}: {note}" for row in rows for note in _notes(row))
    reuse = (
        "reuse: prompt blocks that a prefix cache without limit serves, of those that have a hash.",
    )
    return [
        Sheet(
            format_plural(len(rows), "trace"),
            _COLUMNS,
            tuple(_cells(row) for row in rows),
            notes + (reuse if any(row.blocks for row in rows) else ()),
        )
    ]


def _cells(row: TraceRow) -> tuple[str, ...]:
    return (
        row.path,
        row.format,
        f"{row.requests:,}",
        f"{row.span_s:,.6g}",
        "-" if row.requests_per_s is None else f"{row.requests_per_s:,.3g}",
        _lengths(row.prompt_tokens),
        _lengths(row.output_tokens),
        f"{row.sessions:,}" if row.sessions else "-",
        f"{row.block_tokens:,}" if row.block_tokens else "-",
        "-" if row.prefix_reuse_ratio is None else format_ratio(row.prefix_reuse_ratio),
    )


def _lengths(lengths: LengthFacts) -> str:
    return f"{lengths.p50:,}/{lengths.p95:,}/{lengths.max:,}"


def _notes(row: TraceRow) -> list[str]:
    notes = list(row.notes)
    if row.files > 1:
        notes.insert(0, f"{format_plural(row.files, 'file')}.")
    if row.failed:
        notes.append(f"Left out: {format_plural(row.failed, 'request')} that failed when recorded.")
    notes += [f"Left out: {format_plural(n, 'row')}: {why}." for why, n in row.bad_rows.items()]
    if row.cached_ratio is not None:
        served = format_ratio(row.cached_ratio)
        notes.append(f"A cache served {served} of the prompt tokens when it was recorded.")
    return notes
