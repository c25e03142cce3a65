"""Files in, the table ``staged`` out: a row for each line, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kvprof.errors import TraceError
from kvprof.units import format_plural
from kvprof.workload.database import Database, explained, quoted
from kvprof.workload.files import TraceFile, in_either_encoding, lines_sql
from kvprof.workload.format import Format
from kvprof.workload.integrity import check_whole
from kvprof.workload.typed import IGNORED, typed_fields

MAX_REQUEST_TOKENS = 2**30
"""More than any request has: a length above it is a mistake, not a request."""

FAILED = "failed"
OTHER = "other"

_FURTHEST_NS = 4 * 10**18
"""127 years either way: the difference of two such times is still one of 64 bits."""
_NO_TIME = "'no usable arrival time'"

_LINE = "line "

_TABLE = """CREATE TABLE staged (
    arrival_ns BIGINT, prompt_tokens BIGINT, output_tokens BIGINT, session VARCHAR, scope BIGINT,
    hashes UBIGINT[], block_tokens BIGINT, cached_tokens BIGINT, line BIGINT, fate VARCHAR)"""


class StagedFile(Struct, frozen=True):
    """A file, and which rows of ``staged`` are its own: ids from ``first`` to below ``end``."""

    file: TraceFile
    first: int
    end: int


def create_table(database: Database) -> None:
    """An empty ``staged``; where ``fate`` is NULL the row is a request."""
    database.execute(_TABLE)


def stage(database: Database, files: Sequence[TraceFile], format_: Format) -> list[StagedFile]:
    """Read every line of every file; the ids of the rows follow the order of the lines.

    Raises
    ------
    TraceError
        When a file is cut, damaged, not text, or lacks a column of the format.
    """
    staged: list[StagedFile] = []
    end = 0
    for number, file in enumerate(files):
        database.doing(f"checking {file.path.name}")
        check_whole(file.path, file.compression)
        database.doing(f"reading {file.path.name}")
        first, end = end, end + _insert(database, file, format_, number)
        staged.append(StagedFile(file, first, end))
    return staged


def _insert(database: Database, file: TraceFile, format_: Format, number: int) -> int:
    with explained(file.path):
        (count,) = in_either_encoding(
            lambda encoding: database.row(_insert_sql(file, format_, number, encoding))
        )
        return int(count)


def _insert_sql(file: TraceFile, format_: Format, number: int, encoding: str) -> str:
    fields = typed_fields(file, format_, encoding)
    rows = format_.rows.replace("{fields}", fields).replace("{file}", str(number))
    values = {
        "arrival": f"TRY_CAST({format_.arrival_ns} AS BIGINT)",
        "prompt": format_.prompt_tokens,
        "output": format_.output_tokens,
        "session": f"nullif({format_.session}, '')",
        "scope": format_.scope,
        "hashes": format_.hashes,
        "block": format_.block_tokens,
        "cached": f"TRY_CAST({format_.cached_tokens} AS BIGINT)",
        "line": format_.line,
        "bad": "bad",
        "failed": format_.failed,
        "ignored": format_.ignored,
        "wrong": format_.wrong,
    }
    columns = ", ".join(f"{value} AS {key}" for key, value in values.items())
    return f"""INSERT INTO staged
        SELECT arrival, CASE WHEN fate IS NULL THEN prompt END, CASE WHEN fate IS NULL THEN output
            END, session, scope, CASE WHEN fate IS NULL THEN hashes END,
            CASE WHEN fate IS NULL AND hashes IS NOT NULL THEN block END, cached, line, fate
        FROM (SELECT *, {_fate(format_)} AS fate
              FROM (SELECT {columns.replace("{file}", str(number))} FROM {rows}))"""


def _fate(format_: Format) -> str:
    """SQL for what became of a row: NULL, ignored, failed, or the reason why it is bad."""
    tests = [
        ("bad IS NOT NULL", "bad"),
        ("ignored", quoted(OTHER)),
        ("prompt IS NULL", "'no usable prompt length'"),
        ("output IS NULL", "'no usable output length'"),
        ("prompt < 0 OR output < 0", "'a negative length'"),
        (
            f"prompt > {MAX_REQUEST_TOKENS} OR output > {MAX_REQUEST_TOKENS}",
            f"'a length above {MAX_REQUEST_TOKENS} tokens'",
        ),
        ("prompt <> floor(prompt) OR output <> floor(output)", "'a length that is not whole'"),
        ("prompt + output = 0 OR failed", quoted(FAILED)),
        ("prompt = 0", "'a prompt of 0 tokens'"),
        ("wrong IS NOT NULL", "wrong"),
    ]
    if format_.clock != "none":
        tests.append((f"arrival IS NULL OR abs(arrival) > {_FURTHEST_NS}", _NO_TIME))
    if format_.hashed:
        tests.append(("hashes IS NULL", "'no prefix hashes'"))
    tests += _hash_tests(format_)
    cases = " ".join(f"WHEN {test} THEN {reason}" for test, reason in tests)
    return f"CASE {cases} END"


def _hash_tests(format_: Format) -> list[tuple[str, str]]:
    if format_.hashes == "NULL":
        return []
    down, up = "floor(prompt / block)", "ceil(prompt / block)"
    contradicts = {
        "ceil": f"len(hashes) <> {up}",
        "floor": f"len(hashes) <> {down}",
        "either": f"len(hashes) NOT IN ({down}, {up})",
        None: "false",
    }[format_.rounding]
    return [
        (
            "hashes IS NOT NULL AND (block IS NULL OR block < 1 OR block <> floor(block))",
            "'prefix hashes of blocks of no usable size'",
        ),
        (
            "len(hashes) > list_count(hashes)",
            "'a prefix hash that is no unsigned 64-bit integer'",
        ),
        (
            f"hashes IS NOT NULL AND {contradicts}",
            "'not as many prefix hashes as the prompt has blocks'",
        ),
    ]


def bad_rows(
    database: Database, staged: Sequence[StagedFile], format_: Format, *, skip: bool
) -> dict[str, int]:
    """How many rows are bad, by reason.

    Raises
    ------
    TraceError
        For the first bad row, with its file and line, unless they are to be skipped.
    """
    found = database.rows(
        "SELECT fate, count(*), min(rowid) FROM staged "
        f"WHERE fate NOT IN ('{IGNORED}', '{FAILED}', '{OTHER}') GROUP BY fate ORDER BY 3"
    )
    if found and not skip:
        reason, _, row = found[0]
        raise TraceError(
            f"{_where(database, staged, format_, row)}: {reason}",
            hint=f"{format_plural(sum(count for _, count, _ in found), 'bad row')} in all; "
            "--skip-bad-rows leaves them out and reports them.",
        )
    return {reason: count for reason, count, _ in found}


def _where(database: Database, staged: Sequence[StagedFile], format_: Format, row: int) -> str:
    own = next(s for s in staged if row < s.end)
    path, place = own.file.path, line_of(database, own, format_, row)
    if not place.startswith(_LINE):
        return f"{path}: {place}"
    line = int(place.removeprefix(_LINE))

    def text(encoding: str) -> str:
        lines = lines_sql(own.file.link, own.file.compression, encoding)
        (found,) = database.row(f"SELECT line[:80] FROM {lines} LIMIT 1 OFFSET {line - 1}")
        return str(found)

    return f"{path}:{line}: {in_either_encoding(text)!r}"


def line_of(database: Database, file: StagedFile, format_: Format, row: int) -> str:
    """Where a row of ``staged`` is in its file: ``line 12``, or what counts there."""
    number = row - file.first + 1
    if format_.document:
        return f"request {number} (those of sub-agents counted)"
    if file.file.head.kind == "parquet":
        return f"row {number}"
    (line,) = database.row(f"SELECT line FROM staged WHERE rowid = {row}")
    return f"{_LINE}{line or number}"


def block_size(database: Database) -> int | None:
    """Tokens that a prefix hash stands for; None without hashes.

    Raises
    ------
    TraceError
        When it differs between rows.
    """
    sizes = database.rows(
        "SELECT DISTINCT block_tokens FROM staged WHERE block_tokens IS NOT NULL ORDER BY 1 LIMIT 3"
    )
    if len(sizes) > 1:
        raise TraceError(
            f"prefix hashes of blocks of {sizes[0][0]} and of {sizes[1][0]} tokens in one trace",
            hint="Hashes of different block sizes cannot be compared: give the files one by one.",
        )
    return int(sizes[0][0]) if sizes else None
