"""Files in, a `Trace` out: the canonical table of requests, on disk, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from kvprof.errors import TraceError
from kvprof.units import format_plural
from kvprof.workload.arrivals import put_in_order
from kvprof.workload.batch import BATCH_ROWS, MOST_HASHES, NO_SESSION, Batch
from kvprof.workload.clocks import Clocks
from kvprof.workload.database import MEMORY_BYTES, Database, explained
from kvprof.workload.detect import detect
from kvprof.workload.files import TraceFile, find_files, not_looked_at, open_file
from kvprof.workload.format import Format, Request
from kvprof.workload.staging import (
    FAILED,
    OTHER,
    StagedFile,
    bad_rows,
    block_size,
    create_table,
    stage,
)
from kvprof.workload.watch import Progress


class TraceFacts(Struct, frozen=True):
    """What a trace is: its format, what its rows were, and what was done to them.

    ``requests`` are those that batches give; ``failed`` ended without a token when they were
    recorded; ``bad_rows`` are left out, by reason; ``out_of_order`` arrive before the row above
    them; ``left_out`` come after the duration that was asked for.
    """

    format: str
    files: int
    requests: int
    failed: int
    bad_rows: dict[str, int]
    out_of_order: int
    left_out: int
    block_tokens: int | None
    notes: tuple[str, ...]

    @property
    def skipped_rows(self) -> int:
        """Rows that are no requests of the workload."""
        return self.failed + self.left_out + sum(self.bad_rows.values())

    @property
    def rows_left_out(self) -> tuple[str, ...]:
        """What failed or could not be read, in words; `notes` have the rest."""
        told = [f"Left out: {format_plural(n, 'row')}: {why}." for why, n in self.bad_rows.items()]
        if self.failed:
            failed = format_plural(self.failed, "request")
            told.insert(0, f"Left out: {failed} that failed when recorded.")
        return tuple(told)


class Trace:
    """Requests of a recorded trace, or drawn from a generator's parameters; see `open_trace`.

    A `Workload` whose batches can be read any number of times. Close it, or use ``with``: it owns
    a database on disk.
    """

    def __init__(self, name: str, facts: TraceFacts, database: Database) -> None:
        self.name = name
        self.facts = facts
        self.database = database

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the database."""
        self.database.close()

    @property
    def block_tokens(self) -> int | None:
        """Tokens that one prefix hash stands for; None where there are no hashes."""
        return self.facts.block_tokens

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results must know."""
        return self.facts.notes

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """The requests in order of arrival, at most ``rows`` in a batch; each call starts anew."""
        hashes = 0
        if self.block_tokens:
            (hashes,) = self.database.row("SELECT coalesce(sum(len(hashes)), 0) FROM requests")
        mean = max(1, int(hashes) // max(1, self.facts.requests))
        step = max(1, min(rows, MOST_HASHES // mean))
        for first in range(0, self.facts.requests, step):
            yield self._batch(first, first + step, hashed=hashes > 0)

    def _batch(self, first: int, end: int, *, hashed: bool) -> Batch:
        of = f"FROM requests WHERE rowid >= {first} AND rowid < {end}"
        found = self.database.arrays(
            "SELECT arrival_s, prompt_tokens, output_tokens, "
            f"coalesce(session, {NO_SESSION})::BIGINT AS session, "
            f"coalesce(len(hashes), 0)::BIGINT AS hashes {of}"
        )
        columns = {name: np.ascontiguousarray(_plain(array)) for name, array in found.items()}
        counts = columns.pop("hashes")
        hashes = np.zeros(0, np.uint64)
        if hashed:
            hashes = _plain(self.database.arrays(f"SELECT unnest(hashes) AS hash {of}")["hash"])
        return Batch(
            hash_offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            hashes=np.ascontiguousarray(hashes, np.uint64),
            **columns,
        )


def _plain(array: Any) -> Any:
    """The data of an array that has no NULL, whatever DuckDB wraps it in."""
    return np.ma.getdata(array)


def open_trace(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
    rate: float | None = None,
    duration_s: float | None = None,
    skip_bad_rows: bool = False,
    seed: int = 0,
    clocks: Clocks | None = None,
    memory_bytes: int = MEMORY_BYTES,
    progress: Progress | None = None,
) -> Trace:
    """Read a request trace into the canonical table.

    Parameters
    ----------
    paths
        Files or folders that are one trace, gzip, zstd or neither.
    format
        The trace's format; by default what its contents show.
    rate
        Mean requests per second: a recorded clock is stretched to it; where arrivals are supplied
        it is the rate of the Poisson process (1 by default), of sessions where those have clocks.
    duration_s
        Requests that arrive later are left out; a generator makes so many seconds (an hour by
        default).
    skip_bad_rows
        Whether bad rows are counted and left out.
    seed
        Of supplied arrivals and drawn requests.
    clocks
        ``one``: all times are on one clock. ``each``: every file has a clock of its own, and starts
        when the one before it ends. By default files share one, and a file is taken apart where it
        is plain that its clock starts anew.
    memory_bytes
        What may be held in memory; the rest is on disk.
    progress
        Told, from another thread, what is being done and which part of that is.

    Raises
    ------
    TraceError
        When a file cannot be read, is of no known format, has a bad row, or holds no request; or
        DuckDB is not installed.
    DeviceError
        When the disk has no room for the table.
    """
    given = [Path(path) for path in paths]
    found = find_files(given)
    database = Database(memory_bytes, progress)
    try:
        whole_folder = any(path.is_dir() for path in given)
        files = [open_file(database, path) for path in found]
        chosen = detect(files, forced=format, whole_folder=whole_folder)
        asked = Request(duration_s, rate, seed)
        with explained(found[0]):
            facts = _read(database, *chosen, asked, clocks, skip_bad_rows=skip_bad_rows)
        if unseen := not_looked_at(given, found):
            facts = replace(facts, notes=(*unseen, *facts.notes))
        database.unwatch()
        return Trace(", ".join(str(path) for path in paths), facts, database)
    except BaseException:
        database.close()
        raise


def _read(
    database: Database,
    format_: Format,
    files: Sequence[TraceFile],
    side: Sequence[TraceFile],
    other: Sequence[TraceFile],
    asked: Request,
    clocks: Clocks | None,
    *,
    skip_bad_rows: bool,
) -> TraceFacts:
    """Fill the table ``requests``."""
    notes = list(format_.notes) + _not_read(other)
    create_table(database)
    staged: list[StagedFile] = []
    if format_.prepare:
        notes += format_.prepare(database, files, side)
    if format_.generate:
        notes += format_.generate(database, files, side, asked)
    else:
        staged = stage(database, files, format_)
    database.doing("checking the rows")
    bad = bad_rows(database, staged, format_, skip=skip_bad_rows)
    fates = dict(database.rows("SELECT fate, count(*) FROM staged GROUP BY fate"))
    if not fates.get(None):
        raise TraceError(f"{files[0].path}: no request in it, {_instead(fates, bad)}")
    if other_rows := fates.get(OTHER):
        notes.append(f"{format_plural(other_rows, 'row')} record something else than a request.")
    size = block_size(database)
    database.doing("putting the requests in order")
    ordered = put_in_order(database, format_, staged, asked, clocks)
    (requests,) = database.row("SELECT count(*) FROM requests")
    return TraceFacts(
        format=format_.name,
        files=len(files),
        requests=requests,
        failed=fates.get(FAILED, 0),
        bad_rows=bad,
        out_of_order=ordered.out_of_order,
        left_out=ordered.left_out,
        block_tokens=size,
        notes=(*notes, *ordered.notes),
    )


def _not_read(other: Sequence[TraceFile]) -> list[str]:
    if not other:
        return []
    names = ", ".join(file.path.name for file in other[:5]) + (", ..." if len(other) > 5 else "")
    return [f"{format_plural(len(other), 'file')} of the folder hold no trace: {names}."]


def _instead(fates: dict[str | None, int], bad: dict[str, int]) -> str:
    """What the rows were, if there were any."""
    parts = [f"{count:,} with {reason}" for reason, count in bad.items()]
    if failed := fates.get(FAILED):
        parts.append(f"{failed:,} that failed")
    if other := fates.get(OTHER):
        parts.append(f"{other:,} that record something else")
    return f"its rows are {', '.join(parts)}" if parts else "nothing below its header"
