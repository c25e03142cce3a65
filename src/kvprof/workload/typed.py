"""A file of any kind as SQL: a relation of typed fields, and of what is wrong with each line."""

from __future__ import annotations

from kvprof.errors import TraceError
from kvprof.workload.database import name, quoted
from kvprof.workload.files import TraceFile, documents_sql, lines_sql
from kvprof.workload.format import FieldType, Format, json_structure, sql_type

IGNORED = "ignored"

# Only a line with a quote pays for the pattern that knows quotes.
_CELLS = """CASE WHEN contains(line, '"')
    THEN list_transform(
        regexp_extract_all(',' || line, ',("(?:[^"]|"")*"|[^,"]*)', 1),
        lambda c: CASE WHEN starts_with(c, '"') THEN replace(c[2:-2], '""', '"') ELSE c END)
    ELSE string_split(line, ',') END"""


def typed_fields(file: TraceFile, format_: Format, encoding: str = "utf-8") -> str:
    """SQL for a relation of ``bad`` (text or NULL) and the format's fields, a row for each line.

    Raises
    ------
    TraceError
        When the file has no column of that name for a field that the format needs.
    """
    if format_.document:
        return _documents(file, format_)
    if file.head.kind == "parquet":
        return _parquet(file, format_)
    lines = lines_sql(file.link, file.compression, encoding)
    return _csv(file, format_, lines) if file.head.kind == "csv" else _json(format_, lines)


def _columns(file: TraceFile, format_: Format) -> dict[str, int | None]:
    """Where each field's column is, from 1; None for an optional one that is not there."""
    found: dict[str, int | None] = {}
    for field in format_.fields:
        if field in file.head.names:
            found[field] = file.head.names.index(field) + 1
        elif field in format_.optional:
            found[field] = None
        else:
            raise TraceError(
                f"{file.path}: no column {field!r}, which the format {format_.name} has; "
                f"its columns are {', '.join(file.head.names[:20])[:200]}"
            )
    return found


def _csv(file: TraceFile, format_: Format, lines: str) -> str:
    count = len(file.head.names)
    header = quoted(file.head.line)
    columns = []
    for field, at in _columns(file, format_).items():
        type_ = format_.fields[field]
        value = _from_text(f"cells[{at}]", type_) if at else f"NULL::{sql_type(type_)}"
        columns.append(f"{value} AS {name(field)}")
    fields = ", ".join(columns)
    # Parts that were put together into one file repeat the header.
    return f"""(
        SELECT CASE WHEN line IS NULL OR line = {header} THEN '{IGNORED}'
            WHEN len(cells) <> {count} THEN 'not {count} columns' END AS bad, {fields}
        FROM (SELECT line, {_CELLS} AS cells FROM {lines})
    )"""


def _from_text(cell: str, type_: FieldType) -> str:
    if isinstance(type_, list):
        # [1, 2], "1 2" or 1;2: how lists are written in a cell differs.
        items = f"regexp_split_to_array(trim(trim({cell}), '[]'), '[ ,;]+')"
        return f"""CASE WHEN trim({cell}, '[] ') = '' THEN [] ELSE
            list_transform({items}, lambda i: TRY_CAST(i AS {sql_type(type_[0])})) END"""
    if isinstance(type_, str):
        return f"TRY_CAST({cell} AS {type_})"
    return f"from_json(CASE WHEN json_valid({cell}) THEN {cell} END, '{json_structure(type_)}')"


def _json(format_: Format, lines: str) -> str:
    fields = ", ".join(f"j.{name(field)} AS {name(field)}" for field in format_.fields)
    structure = quoted(json_structure(format_.fields))
    return f"""(
        SELECT CASE WHEN line IS NULL THEN '{IGNORED}'
            WHEN j IS NULL THEN 'no JSON object' END AS bad, {fields}
        FROM (SELECT line, CASE WHEN json_valid(line) THEN
            CASE WHEN json_type(line) = 'OBJECT' THEN from_json(line, {structure}) END
            END AS j FROM {lines})
    )"""


def _documents(file: TraceFile, format_: Format) -> str:
    fields = ", ".join(f"j.{name(field)} AS {name(field)}" for field in format_.fields)
    return f"""(
        SELECT NULL::VARCHAR AS bad, {fields}
        FROM (SELECT from_json(json, {quoted(json_structure(format_.fields))}) AS j
            FROM {documents_sql(file.link, file.compression)})
    )"""


def _parquet(file: TraceFile, format_: Format) -> str:
    fields = ", ".join(
        f"TRY_CAST({name(field) if at else 'NULL'} AS {sql_type(format_.fields[field])}) "
        f"AS {name(field)}"
        for field, at in _columns(file, format_).items()
    )
    return f"(SELECT NULL::VARCHAR AS bad, {fields} FROM read_parquet({quoted(file.link)}))"
