"""Results of `kvprof solve` in, their tables out: the answers, then the evidence for each."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.answer import BlockSizeRow, FitRow, SolveResult
from kvprof.document import Document
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import format_bytes, format_plural, format_ratio, format_tokens

_TITLES = {
    "context": "The longest context that fits",
    "sequences": "The most sequences that fit",
    "memory": "The least memory in which they fit",
    "block_size": "The block size that wastes least",
}


def solve_sheets(document: Document) -> Sequence[Sheet]:
    """All answers in one table with their notes, and one table of evidence for each."""
    results = [result for result in document.results if isinstance(result, SolveResult)]
    return [_answers_sheet(results), *(_evidence(result) for result in results if result.evidence)]


def _answers_sheet(results: Sequence[SolveResult]) -> Sheet:
    blocks = any(result.given.block_size for result in results)
    in_bytes = results[0].unit == "bytes"
    device = any(result.device_memory_bytes is not None for result in results)
    columns = (
        Column("model", "left"),
        Column("engine", "left"),
        *((Column("block"),) if blocks else ()),
        Column("given", "left", wraps=True),
        Column("answer"),
        *((Column("about"),) if in_bytes else ()),
        *((Column("device memory"),) if device else ()),
    )
    rows = tuple(
        (
            result.model.name,
            result.engine,
            *((str(result.given.block_size or "-"),) if blocks else ()),
            _given(result),
            _answer(result),
            *((_about(result.answer),) if in_bytes else ()),
            *((_exact_bytes(result.device_memory_bytes),) if device else ()),
        )
        for result in results
    )
    notes = dict.fromkeys(f"{_of(result)}: {result.note}" for result in results if result.note)
    return Sheet(_TITLES[results[0].question], columns, rows, tuple(notes))


def _answer(result: SolveResult) -> str:
    """To the unit: an answer that is rounded down does not fit."""
    if result.answer is None:
        return "unbounded" if result.unbounded else "none"
    if result.unit == "bytes":
        return _exact_bytes(result.answer)
    return format_plural(result.answer, result.unit.removesuffix("s"))


def _exact_bytes(size: int | None) -> str:
    return "-" if size is None else f"{size:,} B"


def _about(size: int | None) -> str:
    return "-" if size is None else format_bytes(size)


def _given(result: SolveResult) -> str:
    given = result.given
    parts = [f"{each.sequences:,} x {format_tokens(each.tokens)}" for each in given.lengths]
    sequences = None if given.sequences is None else format_plural(given.sequences, "sequence")
    tokens = None if given.tokens is None else f"{format_tokens(given.tokens)} tokens"
    parts += [" of ".join(filter(None, (sequences, tokens)))] if sequences or tokens else []
    if given.memory_bytes is not None:
        parts.append(format_bytes(given.memory_bytes))
    if given.encoder_tokens:
        parts.append(f"{format_tokens(given.encoder_tokens)} encoder tokens")
    return ", ".join(parts)


def _of(result: SolveResult) -> str:
    return f"{result.model.name} on {result.engine}"


def _evidence(result: SolveResult) -> Sheet:
    title = f"Evidence: {_of(result)}, {_given(result)}"
    if result.given.block_size:
        title += f", blocks of {result.given.block_size}"
    fits = [row for row in result.evidence if isinstance(row, FitRow)]
    if fits:
        return Sheet(title, _FIT_COLUMNS, tuple(map(_fit_cells, fits)))
    return _sizes_sheet(title, [row for row in result.evidence if isinstance(row, BlockSizeRow)])


_FIT_COLUMNS = (
    Column("tokens"),
    Column("sequences"),
    Column("memory B"),
    Column("needed B"),
    Column("fits", "left"),
)


def _fit_cells(row: FitRow) -> tuple[str, ...]:
    numbers = (row.tokens, row.sequences, row.memory_bytes, row.needed_bytes)
    return *(f"{number:,}" for number in numbers), "yes" if row.fits else "NO"


def _sizes_sheet(title: str, rows: Sequence[BlockSizeRow]) -> Sheet:
    names = [name for name in rows[0].waste if any(row.waste[name] for row in rows)]
    columns = (
        Column("block"),
        Column("logical"),
        Column("reserved"),
        *(Column(name) for name in names),
        Column("wasted"),
        Column("page"),
        Column("blocks"),
    )
    return Sheet(title, columns, tuple(_size_cells(row, names) for row in rows))


def _size_cells(row: BlockSizeRow, names: Sequence[str]) -> tuple[str, ...]:
    pages = dict.fromkeys(format_bytes(group.page_bytes) for group in row.groups)
    return (
        str(row.block_size),
        format_bytes(row.logical_bytes),
        format_bytes(row.reserved_bytes),
        *(format_bytes(row.waste[name]) if row.waste[name] else "-" for name in names),
        format_ratio(row.wasted_ratio),
        ", ".join(pages),
        f"{sum(group.blocks for group in row.groups):,}",
    )
