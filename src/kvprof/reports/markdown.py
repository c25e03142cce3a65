"""Sheets in, Markdown out."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.reports.sheet import Sheet


def sheets_markdown(sheets: Sequence[Sheet]) -> str:
    """Each sheet as a heading, a pipe table and its notes."""
    return "\n".join(_sheet(sheet) for sheet in sheets)


def _sheet(sheet: Sheet) -> str:
    lines = [f"### {sheet.title}", ""]
    if sheet.columns:
        lines.append(_row(tuple(column.heading for column in sheet.columns)))
        lines.append(_row(tuple("---:" if c.align == "right" else "---" for c in sheet.columns)))
        lines += [_row(row) for row in sheet.rows] + [""]
    lines += [f"- {note}" for note in sheet.notes] + ([""] if sheet.notes else [])
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
