"""Sheets in, text for a terminal out (coloured where a terminal reads it)."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvprof.reports.narrow import LEAST_GAP, LEAST_WRAPPED, fitted, natural_widths
from kvprof.reports.sheet import Sheet

_FILE_WIDTH = 160
_GAP = 3
"""Between two columns where there is room."""


def sheets_terminal(sheets: Sequence[Sheet], *, terminal: bool) -> str:
    """Each sheet as a table; plain text of a fixed width when no terminal reads it.

    NO_COLOR and FORCE_COLOR are honoured, in that order. A table that does not fit a terminal is
    made narrower (`kvprof.reports.narrow`); half a number would look like another number.
    """
    coloured = terminal and os.environ.get("TERM") != "dumb"
    if os.environ.get("FORCE_COLOR"):
        coloured = True
    if os.environ.get("NO_COLOR"):
        coloured = False
    width = shutil.get_terminal_size().columns if terminal else _FILE_WIDTH
    if terminal:
        sheets = [part for sheet in sheets for part in fitted(sheet, width)]
    text = "".join(_sheet_text(sheet, width, coloured=coloured) for sheet in sheets)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _sheet_text(sheet: Sheet, width: int, *, coloured: bool) -> str:
    widths, gap = _widths(sheet, width)
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=coloured,
        no_color=not coloured,
        width=max(width, sum(widths) + gap * len(widths) + 1),
        highlight=False,
    )
    console.print(Text(sheet.title, style="bold"), width=width)
    if sheet.columns:
        console.print(_table(sheet, widths, gap))
    for note in sheet.notes:
        console.print(Padding(Text(note), (0, 0, 0, 2)), width=width)
    console.print()
    return buffer.getvalue()


def _table(sheet: Sheet, widths: Sequence[int], gap: int) -> Table:
    headed = any(column.heading for column in sheet.columns)
    table = Table(
        box=box.SIMPLE_HEAD if headed else None,
        header_style="dim",
        show_header=headed,
        padding=(0, 1) if gap == _GAP else (0, 1, 0, 0),
    )
    natural = natural_widths(sheet)
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


def _widths(sheet: Sheet, available: int) -> tuple[list[int], int]:
    """The width of every column, and the gap between two.

    A column is as wide as its longest cell, less where it may wrap and must; the widest gives
    first. rich would find them too, by measuring every cell several times.
    """
    widths = natural_widths(sheet)
    wrapping = [index for index, column in enumerate(sheet.columns) if column.wraps]
    for gap in (_GAP, LEAST_GAP):
        excess = sum(widths) + gap * len(widths) + 1 - available
        spare = sum(max(0, widths[index] - LEAST_WRAPPED) for index in wrapping)
        if excess <= spare:
            break
    for _ in range(min(spare, max(0, excess))):
        widths[max(wrapping, key=widths.__getitem__)] -= 1
    return widths, gap
