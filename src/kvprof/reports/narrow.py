"""A sheet and a width in, sheets that fit it out; no number is cut.

What helps least costs least: long headings take more lines, columns that say nothing go, a first
column that is the same in every row moves to the title, text wraps. A table that is still too wide
becomes several, each with the columns that say what its rows are about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from msgspec.structs import replace
from rich.cells import cell_len

from kvprof.reports.sheet import Column, Sheet

LEAST_WRAPPED = 16
"""The least width of a column whose text wraps."""
LEAST_GAP = 2
"""Between two columns where there is little room."""


def fitted(sheet: Sheet, width: int) -> list[Sheet]:
    """The sheet, or what it becomes where it does not fit."""
    steps = (_with_high_headings, _without_empty_columns, _without_its_subject, _with_folded_text)
    for step in steps:
        if _least_width(sheet) <= width:
            return [sheet]
        sheet = step(sheet)
    return [sheet] if _least_width(sheet) <= width else list(_parts(sheet, width))


def natural_widths(sheet: Sheet) -> list[int]:
    """The longest line of every column."""
    columns = zip(*(tuple(column.heading for column in sheet.columns), *sheet.rows), strict=True)
    return [max(_longest_line(cell) for cell in cells) for cells in columns]


def _longest_line(cell: str) -> int:
    return max((cell_len(line) for line in cell.split("\n")), default=0)


def _least_widths(sheet: Sheet) -> list[int]:
    return [
        min(width, LEAST_WRAPPED) if column.wraps else width
        for column, width in zip(sheet.columns, natural_widths(sheet), strict=True)
    ]


def _least_width(sheet: Sheet) -> int:
    return _table_width(_least_widths(sheet))


def _table_width(widths: Sequence[int]) -> int:
    return sum(widths) + LEAST_GAP * len(widths) + 1


def _with_high_headings(sheet: Sheet) -> Sheet:
    """No wider than the cells below, or than a word."""
    cells = natural_widths(replace(sheet, columns=tuple(Column("") for _ in sheet.columns)))
    columns = (
        replace(column, heading=_high(column.heading, width))
        for column, width in zip(sheet.columns, cells, strict=True)
    )
    return replace(sheet, columns=tuple(columns))


def _high(heading: str, width: int) -> str:
    words = heading.replace("_", "_ ").replace("/", "/ ").split(" ")
    lines = wrap(" ".join(words), max(width, 1, *map(len, words)), break_on_hyphens=False)
    return "\n".join(line.replace("_ ", "_").replace("/ ", "/") for line in lines)


def _without_empty_columns(sheet: Sheet) -> Sheet:
    saying = [i for i in range(len(sheet.columns)) if any(row[i] != "-" for row in sheet.rows)]
    return _only(sheet, saying)


def _without_its_subject(sheet: Sheet) -> Sheet:
    """The first column in the title, where all rows are about one thing and others tell them."""
    texts = [column.align == "left" for column in sheet.columns]
    subjects = {row[0] for row in sheet.rows if row}
    if len(subjects) != 1 or not texts[0] or sum(texts) < 2:
        return sheet
    kept = _only(sheet, range(1, len(sheet.columns)))
    return replace(kept, title=f"{sheet.title} ({subjects.pop()})")


def _with_folded_text(sheet: Sheet) -> Sheet:
    columns = (replace(c, wraps=c.wraps or c.align == "left") for c in sheet.columns)
    return replace(sheet, columns=tuple(columns))


def _parts(sheet: Sheet, width: int) -> Iterator[Sheet]:
    """As many columns at a time as fit beside those that say what a row is about."""
    keys = _key_columns(sheet.columns)
    widths = _least_widths(sheet)
    part, title = list(range(keys)), sheet.title
    for column in range(keys, len(widths)):
        if len(part) > keys and _table_width([widths[i] for i in (*part, column)]) > width:
            yield replace(_only(sheet, part), title=title, notes=())
            part, title = list(range(keys)), f"{sheet.title}, continued"
        part.append(column)
    yield replace(_only(sheet, part), title=title)


def _key_columns(columns: Sequence[Column]) -> int:
    """Those up to the last text in front of the first number that follows a text."""
    first = next((i for i, column in enumerate(columns) if column.align == "left"), 0)
    numbers = (i for i, c in enumerate(columns) if i > first and c.align == "right")
    return next(numbers, 1)


def _only(sheet: Sheet, columns: Sequence[int]) -> Sheet:
    return replace(
        sheet,
        columns=tuple(sheet.columns[i] for i in columns),
        rows=tuple(tuple(row[i] for i in columns) for row in sheet.rows),
    )
