"""``staged`` in, the canonical table ``requests`` out: on one clock from 0, in order of arrival.

``requests`` holds ``arrival_s, prompt_tokens, output_tokens, session, hashes, cached_tokens``; its
row ids are the order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from kvprof.errors import TraceError
from kvprof.units import format_plural
from kvprof.workload.clocks import Clocks, join_clocks
from kvprof.workload.database import Database
from kvprof.workload.format import Format, Request
from kvprof.workload.staging import StagedFile

DEFAULT_RATE = 1.0
_DRAWN_AT_ONCE = 1_000_000
_FURTHEST_S = 4e9


class Ordered(Struct, frozen=True):
    """What was found, and done, when the requests were put in order."""

    out_of_order: int
    left_out: int
    notes: tuple[str, ...]


def put_in_order(
    database: Database,
    format_: Format,
    staged: Sequence[StagedFile],
    asked: Request,
    clocks: Clocks | None,
) -> Ordered:
    """Make ``requests`` and drop ``staged``.

    Times are moved so that the first is 0. Where a trace has none, requests (or sessions, whose
    requests have times of their own) arrive by a Poisson process. ``asked.rate`` is the mean number
    of those per second, or the mean rate that a recorded clock is stretched to;
    ``asked.duration_s`` is where the trace is then cut off.
    """
    notes: list[str] = []
    out_of_order = 0
    if format_.clock == "trace":
        notes += join_clocks(database, format_, staged, clocks)
        out_of_order, furthest_s = _out_of_order(database, staged)
        if out_of_order:
            notes.append(
                f"Earlier than the row above: {format_plural(out_of_order, 'row')}, by at most "
                f"{furthest_s:g} s. Requests are sorted by arrival."
            )
    else:
        notes.append(_supply(database, format_, asked))
    stretch = 1.0
    if format_.clock == "trace" and format_.generate is None and asked.rate:
        stretch = _stretch(database, asked.rate)
        notes.append(f"The clock is stretched by {stretch:.6g} to {asked.rate:g} requests/s.")
    before = _count(database, "staged WHERE fate IS NULL")
    _create(database, format_, stretch, asked.duration_s)
    left_out = before - _count(database, "requests")
    if left_out:
        notes.append(
            f"Left out: {format_plural(left_out, 'request')} after {asked.duration_s:g} s."
        )
    database.execute("DROP TABLE staged")
    return Ordered(out_of_order, left_out, tuple(notes))


def _count(database: Database, of: str) -> int:
    (count,) = database.row(f"SELECT count(*) FROM {of}")
    return int(count)


def _out_of_order(database: Database, staged: Sequence[StagedFile]) -> tuple[int, float]:
    """How many rows are earlier than the one above in their file, and the largest step back."""
    rows, furthest = 0, 0
    for file in staged:
        count, back = database.row(
            "SELECT count(*), max(back) FROM (SELECT lag(arrival_ns) OVER () - arrival_ns AS back "
            f"FROM staged WHERE fate IS NULL AND rowid >= {file.first} AND rowid < {file.end}) "
            "WHERE back > 0"
        )
        rows, furthest = rows + count, max(furthest, back or 0)
    return rows, furthest / 1e9


def _supply(database: Database, format_: Format, asked: Request) -> str:
    """Add the Poisson starts of requests, or of sessions, to their times; say so."""
    rate = asked.rate or DEFAULT_RATE
    what = "session" if format_.clock == "session" else "request"
    # A request without a time is like a session of one request.
    key = "scope" if what == "session" else "rowid"
    database.execute(
        f"CREATE TABLE starting AS SELECT DISTINCT {key} AS scope FROM staged WHERE fate IS NULL "
        "ORDER BY 1"
    )
    database.execute("CREATE TABLE drawn (start_ns BIGINT)")
    generator = np.random.default_rng(asked.seed)
    left, clock = _count(database, "starting"), 0.0
    while left > 0:
        gaps = generator.exponential(1 / rate, min(left, _DRAWN_AT_ONCE))
        times = clock + np.cumsum(gaps)
        if times[-1] > _FURTHEST_S:
            raise TraceError(
                f"at {rate:g} a second the last of {_count(database, 'starting'):,} {what}s would "
                f"arrive after more than {_FURTHEST_S:g} s",
                hint="Give a larger --rate.",
            )
        database.insert("drawn", {"start_ns": np.rint(times * 1e9).astype(np.int64)})
        left, clock = left - len(gaps), float(times[-1])
    database.execute(
        "CREATE TABLE starts AS SELECT scope, start_ns FROM starting POSITIONAL JOIN drawn"
    )
    whole = "The trace has no arrival times" if what == "request" else "Sessions have no start"
    return f"{whole}: {what}s arrive by a Poisson process, {rate:g} a second, seed {asked.seed}."


def _stretch(database: Database, rate: float) -> float:
    count, span_ns = database.row(
        "SELECT count(*), max(arrival_ns) - min(arrival_ns) FROM staged WHERE fate IS NULL"
    )
    if not span_ns:
        raise TraceError(
            f"no clock that can be stretched to {rate:g} requests/s: all requests arrive at once"
        )
    return float((count - 1) / (span_ns / 1e9) / rate)


def _create(database: Database, format_: Format, stretch: float, duration_s: float | None) -> None:
    arrival, starts = "arrival_ns", ""
    if format_.clock != "trace":
        key = "staged.scope" if format_.clock == "session" else "staged.rowid"
        arrival = "coalesce(arrival_ns, 0) + start_ns"
        starts = f"JOIN starts ON starts.scope = {key}"
    session, sessions = "NULL::BIGINT", ""
    if format_.session != "NULL":
        database.execute(
            "CREATE TABLE sessions AS SELECT session, row_number() OVER (ORDER BY min(rowid)) - 1 "
            "AS number FROM staged WHERE fate IS NULL AND session IS NOT NULL GROUP BY session"
        )
        session, sessions = "sessions.number", "LEFT JOIN sessions USING (session)"
    (origin,) = database.row(f"SELECT min({arrival}) FROM staged {starts} WHERE fate IS NULL")
    cut = "" if duration_s is None else f"WHERE arrival_s < {duration_s!r}"
    database.execute(f"""CREATE TABLE requests AS
        SELECT arrival_s, prompt_tokens, output_tokens, session, hashes, cached_tokens FROM (
            SELECT (({arrival}) - ({origin or 0}))::DOUBLE / 1e9 * {stretch!r} AS arrival_s,
                prompt_tokens, output_tokens, {session} AS session, hashes, cached_tokens,
                staged.rowid AS place
            FROM staged {starts} {sessions} WHERE fate IS NULL
        ) {cut} ORDER BY arrival_s, place""")
