"""Sheets in, text for a terminal out (coloured where a terminal reads it)."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvprof.reports.sheet import Sheet

_FILE_WIDTH = 160


def sheets_terminal(sheets: Sequence[Sheet], *, terminal: bool) -> str:
    """Each sheet as a table; plain text of a fixed width when no terminal reads it.

    NO_COLOR and FORCE_COLOR are honoured, in that order.
    """
    coloured = terminal and os.environ.get("TERM") != "dumb"
    if os.environ.get("FORCE_COLOR"):
        coloured = True
    if os.environ.get("NO_COLOR"):
        coloured = False
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=coloured,
        no_color=not coloured,
        width=None if terminal else _FILE_WIDTH,
        highlight=False,
    )
    for sheet in sheets:
        _print(console, sheet)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def _print(console: Console, sheet: Sheet) -> None:
    console.print(Text(sheet.title, style="bold"))
    if sheet.columns:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
        for column in sheet.columns:
            table.add_column(
                column.heading,
                justify=column.align,
                overflow="fold",
                no_wrap=not column.wraps,
            )
        for row in sheet.rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(Padding(table, (0, 0, 0, 2)))
    for note in sheet.notes:
        console.print(Padding(Text(note), (0, 0, 0, 2)))
    console.print()
