"""Sheets in, text for a terminal out (coloured where a terminal reads it)."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvprof.reports.sheet import Sheet

_FILE_WIDTH = 160
_LEAST_WRAPPED = 16
_COLUMN_PADDING = 3


def sheets_terminal(sheets: Sequence[Sheet], *, terminal: bool) -> str:
    """Each sheet as a table; plain text of a fixed width when no terminal reads it.

    NO_COLOR and FORCE_COLOR are honoured, in that order. A table that does not fit is wider than
    the terminal: half a number would look like another number.
    """
    coloured = terminal and os.environ.get("TERM") != "dumb"
    if os.environ.get("FORCE_COLOR"):
        coloured = True
    if os.environ.get("NO_COLOR"):
        coloured = False
    width = shutil.get_terminal_size().columns if terminal else _FILE_WIDTH
    text = "".join(_sheet_text(sheet, width, coloured=coloured) for sheet in sheets)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _sheet_text(sheet: Sheet, width: int, *, coloured: bool) -> str:
    widths = _widths(sheet, width)
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=coloured,
        no_color=not coloured,
        width=max(width, sum(widths) + _COLUMN_PADDING * len(widths) + 1),
        highlight=False,
    )
    console.print(Text(sheet.title, style="bold"))
    if sheet.columns:
        console.print(_table(sheet, widths))
    for note in sheet.notes:
        console.print(Padding(Text(note), (0, 0, 0, 2)), width=width)
    console.print()
    return buffer.getvalue()


def _table(sheet: Sheet, widths: Sequence[int]) -> Table:
    headed = any(column.heading for column in sheet.columns)
    table = Table(box=box.SIMPLE_HEAD if headed else None, header_style="dim", show_header=headed)
    natural = _natural_widths(sheet)
    for column, width, whole in zip(sheet.columns, widths, natural, strict=True):
        table.add_column(
            column.heading,
            justify=column.align,
            overflow="fold",
            width=width,
            no_wrap=width == whole,
        )
    for row in sheet.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _widths(sheet: Sheet, available: int) -> list[int]:
    """The width of every column: its longest cell, less where a column may wrap and must.

    rich would find them too, by measuring every cell several times.
    """
    widths = _natural_widths(sheet)
    wrapping = [index for index, column in enumerate(sheet.columns) if column.wraps]
    excess = sum(widths) + _COLUMN_PADDING * len(widths) + 1 - available
    for index in wrapping:
        narrowed = max(_LEAST_WRAPPED, widths[index] - max(0, excess))
        excess -= widths[index] - min(widths[index], narrowed)
        widths[index] = min(widths[index], narrowed)
    return widths


def _natural_widths(sheet: Sheet) -> list[int]:
    columns = zip(*(tuple(column.heading for column in sheet.columns), *sheet.rows), strict=True)
    return [max(_longest_line(cell) for cell in cells) for cells in columns]


def _longest_line(cell: str) -> int:
    return max((cell_len(line) for line in cell.split("\n")), default=0)
