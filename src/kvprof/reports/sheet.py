"""A table of text that any format for people can show."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Column(Struct, frozen=True):
    """A column's heading; numbers are aligned right. ``wraps`` lets long text take more lines."""

    heading: str
    align: Literal["left", "right"] = "right"
    wraps: bool = False


class Sheet(Struct, frozen=True):
    """A titled table with notes under it; without columns only the title and the notes."""

    title: str
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
