"""Rows of `kvprof list`, `check` and `doctor` in, their tables out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from kvprof.check_result import CheckResult
from kvprof.document import Document
from kvprof.listing_result import ArchitectureRow, CatalogueRow, DeviceRow, DoctorRow, EngineRow
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import format_bytes

_LEFT: Literal["left"] = "left"


def listing_sheets(document: Document) -> Sequence[Sheet]:
    """The one table of a listing."""
    columns = _COLUMNS[document.kind]
    rows = tuple(_cells(result) for result in document.results)
    title = _TITLES.get(document.kind) or f"{len(rows)} {document.kind}"
    return [Sheet(title, columns, rows, _notes(document))]


_TITLES = {"check": "Conformance", "doctor": "This installation and this machine"}


def _notes(document: Document) -> tuple[str, ...]:
    if document.kind == "architectures":
        return (_SIZES.format("state"),)
    if document.kind == "models":
        return (
            _SIZES.format("windows and of state"),
            "gallery: KiB per token in the public architecture gallery, which counts no indexers "
            "and of compressed attention the entries only.",
            *_disagreements(document),
        )
    return ()


def _disagreements(document: Document) -> tuple[str, ...]:
    """Why published figures are not what kvprof finds."""
    return tuple(
        f"{row.name}, {_decimal(row.comparable_kib_per_token)} here and "
        f"{_decimal(row.published_kib_per_token)} there: {row.note}."
        for row in document.results
        if isinstance(row, CatalogueRow) and row.published_agrees is False
    )


_SIZES = (
    "In bfloat16: KiB per token of all layers, of which those grow that keep every token; MiB of "
    "{} per sequence."
)
_AGREES = {None: "-", True: "yes", False: "NO"}

_COLUMNS = {
    "models": (
        Column("year", _LEFT),
        Column("model", _LEFT),
        Column("attention", _LEFT),
        Column("KiB"),
        Column("grows"),
        Column("window"),
        Column("state"),
        Column("gallery"),
        Column("agrees", _LEFT),
    ),
    "architectures": (
        Column("architecture", _LEFT),
        Column("what it keeps", _LEFT, wraps=True),
        Column("reference", _LEFT),
        Column("KiB"),
        Column("grows"),
        Column("state"),
        Column("plugin", _LEFT),
    ),
    "engines": (
        Column("engine", _LEFT),
        Column("what it does", _LEFT, wraps=True),
        Column("settings", _LEFT, wraps=True),
        Column("plugin", _LEFT),
    ),
    "devices": (
        Column("device", _LEFT),
        Column("available", _LEFT),
        Column("memory"),
        Column("description", _LEFT, wraps=True),
    ),
    "check": (
        Column("architecture", _LEFT),
        Column("plugin", _LEFT),
        Column("conforms", _LEFT),
        Column("problems", _LEFT, wraps=True),
    ),
    "doctor": (
        Column("subject", _LEFT),
        Column("status", _LEFT),
        Column("detail", _LEFT, wraps=True),
    ),
}


def _cells(row: Struct) -> tuple[str, ...]:
    match row:
        case CatalogueRow():
            return (
                row.date[:4],
                row.name,
                row.attention,
                _decimal(row.kib_per_token),
                _decimal(row.growing_kib_per_token),
                _decimal(row.window_mib_per_sequence),
                _decimal(row.fixed_mib_per_sequence),
                _decimal(row.published_kib_per_token),
                _AGREES[row.published_agrees],
            )
        case ArchitectureRow():
            return (
                row.name,
                row.summary,
                row.reference,
                _decimal(row.kib_per_token),
                _decimal(row.growing_kib_per_token),
                _decimal(row.fixed_mib_per_sequence),
                row.plugin,
            )
        case EngineRow():
            return row.name, row.summary, "\n".join(row.settings) or "-", row.plugin
        case DeviceRow():
            memory = format_bytes(row.memory_bytes) if row.memory_bytes else "-"
            return row.name, "yes" if row.available else "no", memory, row.description
        case CheckResult():
            problems = "\n".join(row.problems) or "-"
            return row.architecture, row.plugin, "yes" if row.conforms else "NO", problems
        case DoctorRow():
            return row.subject, row.status, row.detail
    raise TypeError(f"no table for {type(row).__name__}")


def _decimal(value: float | None) -> str:
    return f"{value:,.4g}" if value else "-"
