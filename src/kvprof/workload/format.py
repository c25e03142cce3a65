"""What a trace format is: the fields of its rows, and what each means in the canonical table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from kvprof.workload.database import Database
    from kvprof.workload.files import TraceFile

FieldType: TypeAlias = "str | list[Any] | Mapping[str, Any]"
"""An SQL type, a list of one type, or an object's fields: as DuckDB's ``from_json`` takes it."""

Clock = Literal["trace", "session", "none"]
Rounding = Literal["ceil", "floor", "either"]


class Head(Struct, frozen=True):
    """What the beginning of a file shows: enough to know its format.

    ``first`` has the names of the first object, each with its type or, where it is an object, the
    names in it.
    """

    kind: Literal["csv", "jsonl", "json", "parquet"]
    names: tuple[str, ...]
    first: Mapping[str, Any] | None = None
    line: str = ""

    def has(self, dotted: str) -> bool:
        """Whether there is a column, or a name ``a.b.c`` in the first object."""
        if self.first is None:
            return dotted in self.names
        value: Any = self.first
        for key in dotted.split("."):
            if not isinstance(value, Mapping) or key not in value:
                return False
            value = value[key]
        return True


class Request(Struct, frozen=True):
    """What a generator of requests is asked for: seconds, requests per second, a seed."""

    duration_s: float | None
    rate: float | None
    seed: int


class Format(Struct, frozen=True, kw_only=True):
    """A trace format, declared.

    Expressions are SQL over the columns named in ``fields``; a value that is no such type in a
    row is NULL there, and the row is bad if it needs it.

    Parameters
    ----------
    fields
        The columns, or the keys of each object, that are read, and their types.
    optional
        Those of the fields that a file may lack.
    marks
        What a file's head must have to be of this format, by default all fields that are not
        optional. Of several formats that a file could be the one with the most marks is taken.
    rows
        SQL from ``{fields}``, the relation of the typed fields, to one of one row per request;
        ``{file}`` is the number of the file. It keeps the order of the rows.
    line
        The line of the row in its file, where ``rows`` makes several rows of one.
    arrival_ns
        Nanoseconds on the trace's clock. NULL everywhere means that it has no times.
    clock
        Whether all rows are on one clock, each session on its own, or there are no times.
    scope
        What has a clock of its own, where ``clock`` is ``session``.
    session
        Text that is equal for the requests of one conversation.
    hashes, block_tokens, rounding
        A ``UBIGINT[]`` of chained prefix hashes, the tokens that each stands for, and how many a
        prompt must have: the quotient rounded up, down, or either. ``hashed`` says that every row
        must have some.
    cached_tokens
        Prompt tokens that a cache served when the trace was recorded.
    failed
        Whether the request failed when it was recorded; 0 tokens in and out always mean that.
    ignored
        Whether the row is no request at all.
    wrong
        Text that says what else is wrong with a row; NULL where nothing is.
    document
        Whether each file is one JSON document, not one object a line.
    side
        Which files beside the trace belong to it but hold no requests.
    prepare
        Reads those before the rows are; gives notes.
    generate
        Fills the table of requests itself, from parameters; gives notes.
    """

    name: str
    summary: str
    fields: Mapping[str, FieldType]
    optional: frozenset[str] = frozenset()
    marks: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset({"csv", "jsonl", "parquet"})
    rows: str = "{fields}"
    line: str = "NULL"
    arrival_ns: str = "NULL"
    clock: Clock = "trace"
    scope: str = "NULL"
    prompt_tokens: str = "NULL"
    output_tokens: str = "NULL"
    session: str = "NULL"
    hashes: str = "NULL"
    hashed: bool = False
    block_tokens: str = "NULL"
    rounding: Rounding | None = None
    cached_tokens: str = "NULL"
    failed: str = "false"
    ignored: str = "false"
    wrong: str = "NULL"
    document: bool = False
    notes: tuple[str, ...] = ()
    recognises: Callable[[Head], bool] | None = None
    side: Callable[[Head], bool] | None = None
    prepare: Callable[[Database, Sequence[TraceFile], Sequence[TraceFile]], list[str]] | None = None
    generate: Callable[[Database, Sequence[TraceFile], Sequence[TraceFile], Request], list[str]] | (
        None
    ) = None

    @property
    def needed(self) -> tuple[str, ...]:
        """The names that a file's head must have."""
        return self.marks or tuple(f for f in self.fields if f not in self.optional)

    def is_of(self, head: Head) -> bool:
        """Whether a file that begins like this can be of this format."""
        if head.kind not in self.kinds:
            return False
        if self.recognises is not None:
            return self.recognises(head)
        return all(head.has(mark) for mark in self.needed)


def seconds(expression: str) -> str:
    """SQL for the nanoseconds of an expression in seconds."""
    return f"round({expression} * 1e9)"


def date_time(expression: str) -> str:
    """SQL for the nanoseconds of text with a date and a time, in UTC where it has no zone."""
    return f"epoch_ns(TRY_CAST({expression} AS TIMESTAMPTZ)::TIMESTAMP)"


def sql_type(type_: FieldType) -> str:
    """A field's type as SQL writes it."""
    if isinstance(type_, str):
        return type_
    if isinstance(type_, list):
        return f"{sql_type(type_[0])}[]"
    inner = ", ".join(f'"{key}" {sql_type(value)}' for key, value in type_.items())
    return f"STRUCT({inner})"


def json_structure(fields: Mapping[str, FieldType]) -> str:
    """The fields as the structure that ``from_json`` takes."""
    return json.dumps(fields)
