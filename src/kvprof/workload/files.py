"""Paths in, the files of one trace out: how each is compressed and how it begins."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from kvprof.errors import TraceError
from kvprof.units import format_plural
from kvprof.workload.database import Database, explained, quoted
from kvprof.workload.format import Head
from kvprof.workload.integrity import check_whole

Value = TypeVar("Value")

MAX_LINE_BYTES = 8 * 2**20
MAX_DOCUMENT_BYTES = 256 * 2**20

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PARQUET_MAGIC = b"PAR1"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_HEAD_LINES = 16
_MAX_FILES = 100_000
_SHOWN = 4096
_TWICE = "A trace is read more than once: save what a pipe gives in a file."


class TraceFile(Struct, frozen=True):
    """One file: where it is, the name that DuckDB reads it by, and its head."""

    path: Path
    link: str
    compression: str
    head: Head


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files of the paths: each by itself, a folder by its files in the order of their names.

    Raises
    ------
    TraceError
        When a path is not there, is no file, or is a folder without files.
    """
    found: list[Path] = []
    for path in paths:
        found += _files_of(path)
    if len(found) > _MAX_FILES:
        raise TraceError(f"{len(found)} files are too many; at most {_MAX_FILES} are one trace")
    once = {path.resolve(): path for path in reversed(found)}
    return list(reversed(once.values()))


def not_looked_at(paths: Sequence[Path], found: Sequence[Path]) -> list[str]:
    """What of the paths is not among the files found, in words."""
    folders = [path for path in paths if path.is_dir()]
    inside = [p for folder in folders for p in folder.iterdir() if not p.is_file()]
    given = sum(len(_files_of(path)) for path in paths)
    notes = []
    if again := given - len(found):
        notes.append(f"{format_plural(again, 'file')} given more than once: each is read once.")
    if inside:
        names = ", ".join(sorted(p.name for p in inside)[:5]) + (", ..." if len(inside) > 5 else "")
        notes.append(f"Not looked into: {names} (folders in folders, and what is no file).")
    return notes


def _files_of(path: Path) -> list[Path]:
    if str(path) == "-" and not path.exists():
        raise TraceError("standard input is no trace", hint=_TWICE)
    try:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".")
            if not inside:
                raise TraceError(
                    f"{path}: a folder without a file", hint="Give the folder of the files itself."
                )
            return inside
        if path.exists() and not path.is_file():
            raise TraceError(f"{path}: no regular file", hint=_TWICE)
        with path.open("rb") as stream:
            if not stream.read(1):
                raise TraceError(f"{path}: the file is empty")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    return [path]


def _unreadable(path: Path, error: Exception) -> TraceError:
    reason = getattr(error, "strerror", None) or str(error)
    return TraceError(f"{str(path)!r} cannot be read: {reason}")


def open_file(database: Database, path: Path) -> TraceFile:
    """Look at how a file begins.

    Raises
    ------
    TraceError
        When it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise _unreadable(path, error) from None
    if magic[:2] in _UTF16_MARKS:
        raise TraceError(
            f"{path}: UTF-16 text, which is not read",
            hint="Convert it first: iconv -f utf-16 -t utf-8.",
        )
    link = database.link(path)
    if magic == _PARQUET_MAGIC:
        return TraceFile(path, link, "none", _parquet_head(database, path, link))
    compression = next((c for m, c in _MAGIC.items() if magic.startswith(m)), "none")
    try:
        with explained(path):
            head = _text_head(database, link, compression)
    except TraceError:
        check_whole(path, compression)  # says more of what is wrong with a compressed file
        raise
    return TraceFile(path, link, compression, head)


def lines_sql(link: str, compression: str, encoding: str = "utf-8") -> str:
    """A relation of one column, ``line``: NULL where a line is blank. Line ends may be mixed."""
    return (
        f"read_csv({quoted(link)}, auto_detect = false, header = false, strict_mode = false, "
        f"columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', comment = '', "
        f"max_line_size = {MAX_LINE_BYTES}, compression = {quoted(compression)}, "
        f"encoding = {quoted(encoding)})"
    )


def in_either_encoding(run: Callable[[str], Value]) -> Value:
    """What a function of the encoding gives for UTF-8 or, where a file is not, for Latin-1.

    What needs a number in a line with other bytes will not find one; the rest can be read.
    """
    import duckdb  # noqa: PLC0415

    try:
        return run("utf-8")
    except duckdb.InvalidInputException as error:
        if "unicode" not in str(error):
            raise
        unreadable = error  # names the line
    try:
        return run("latin-1")
    except duckdb.InvalidInputException:
        raise unreadable from None


def documents_sql(link: str, compression: str) -> str:
    """A relation of one column, ``json``: the one document of a file."""
    # DuckDB 1.4 has no name for no compression here; a link's name does not suggest any.
    packed = "" if compression == "none" else f", compression = {quoted(compression)}"
    return (
        f"read_json_objects({quoted(link)}, format = 'unstructured', "
        f"maximum_object_size = {MAX_DOCUMENT_BYTES}{packed})"
    )


def read_document(database: Database, file: TraceFile) -> Any:
    """The decoded JSON document of a file."""
    with explained(file.path):
        rows = database.rows(
            f"SELECT json::VARCHAR FROM {documents_sql(file.link, file.compression)}"
        )
    return _decoded(rows[0][0])


def _parquet_head(database: Database, path: Path, link: str) -> Head:
    with explained(path):
        columns = database.rows(f"DESCRIBE SELECT * FROM read_parquet({quoted(link)})")
    return Head("parquet", tuple(column[0] for column in columns))


def _text_head(database: Database, link: str, compression: str) -> Head:
    import duckdb  # noqa: PLC0415

    def first_lines(encoding: str) -> list[tuple[Any, ...]]:
        return database.rows(
            f"SELECT line[:{_SHOWN}], {_structure('line')} "
            f"FROM {lines_sql(link, compression, encoding)} "
            f"WHERE line IS NOT NULL LIMIT {_HEAD_LINES}"
        )

    try:
        found = in_either_encoding(first_lines)
    except duckdb.InvalidInputException:
        head = _document_head(database, link, compression, "")
        if head.names:  # a document in one line, which may be long
            return head
        raise
    if not found:
        return Head("csv", ())
    line = found[0][0].strip()
    if not line.startswith("{"):
        names = next(csv.reader([line]), [])
        return Head("csv", tuple(name.strip() for name in names), line=found[0][0])
    for _, structure in found:
        first = _decoded(structure)
        if isinstance(first, dict):
            return Head("jsonl", tuple(first), first, line)
    return _document_head(database, link, compression, line)


def _document_head(database: Database, link: str, compression: str, line: str) -> Head:
    """That of a document over several lines, or of lines of which none can be read."""
    import duckdb  # noqa: PLC0415

    try:
        rows = database.rows(
            f"SELECT {_structure('json::VARCHAR')} FROM {documents_sql(link, compression)} LIMIT 1"
        )
    except duckdb.Error:
        return Head("jsonl", (), {}, line)
    first = _decoded(rows[0][0]) if rows else None
    if not isinstance(first, dict):
        return Head("csv", (), line=line)
    return Head("json", tuple(first), first, line)


def _structure(text: str) -> str:
    """SQL for the names and types in JSON text: small, however much the text holds."""
    return f"CASE WHEN json_valid({text}) THEN json_structure({text})::VARCHAR END"


def _decoded(text: str | None) -> Any:
    """A JSON value; None where there is none, or one that is nested without end."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
