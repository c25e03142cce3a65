"""``staged`` in, ``staged`` on one clock out: what starts its clock anew is put behind the rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof.units import format_plural
from kvprof.workload.database import Database
from kvprof.workload.format import Format
from kvprof.workload.staging import StagedFile, line_of

Clocks = Literal["one", "each"]

_NEAR_START = 0.1
"""A clock that starts anew falls to this part of what it had reached, or below."""

_LOOKED_AT = 16
_LEAST_ROWS = 8
_MOST_FALLS = 100
"""A file with more falls is in no order of time at all."""


class _Fall(Struct, frozen=True):
    """A row near the start of the clock after one that is far from it; times in seconds."""

    row: int
    from_s: float
    to_s: float
    restarts: bool | None
    """Whether the clock starts anew there; None where too few rows tell."""


class _Part(Struct, frozen=True):
    """Rows of ``staged`` on one clock: ids from ``first`` to below ``end``, and their times."""

    first: int
    end: int
    earliest_ns: int
    latest_ns: int


def join_clocks(
    database: Database, format_: Format, staged: Sequence[StagedFile], clocks: Clocks | None
) -> list[str]:
    """Move the times of parts whose clock starts anew; say so.

    The first request of such a part then arrives with the last one of the part before.

    Parameters
    ----------
    clocks
        ``one``: all times are on one clock. ``each``: every file has its own, and so has every
        part of a file that falls back to the start. None: files share one clock, and a file is
        taken apart where it is plain that its clock starts anew.
    """
    if clocks == "one":
        return []
    notes, whole = [], []
    for file in staged:
        falls = _falls(database, file)
        cuts, note = _decided(database, format_, file, falls, anyway=clocks == "each")
        notes += note
        parts = _parts(database, file, cuts)
        if clocks is None:
            _put_behind_each_other(database, parts)
        whole += parts
    if clocks == "each" and len(staged) > 1:
        notes.append(
            "Each file has a clock of its own: files are put behind each other, as they are given."
        )
    if clocks == "each":
        _put_behind_each_other(database, whole)
    elif len(staged) > 1:
        notes += _overlaps(database, staged)
    return notes


def _falls(database: Database, file: StagedFile) -> list[_Fall]:
    """Where a file falls back to near the start of its clock.

    A date or an epoch never does, so what is recorded by the time of day is left as it is.
    """
    found = database.rows(f"""SELECT place, above, arrival_ns FROM (
            SELECT rowid AS place, arrival_ns, lag(arrival_ns) OVER () AS above FROM staged
            WHERE {_own(file.first, file.end)})
        WHERE above > 0 AND arrival_ns >= 0 AND arrival_ns <= above * {_NEAR_START}::DOUBLE
        LIMIT {_MOST_FALLS + 1}""")
    if len(found) > _MOST_FALLS:
        return [_Fall(row, above / 1e9, to / 1e9, None) for row, above, to in found]
    return [
        _Fall(row, above / 1e9, to / 1e9, _restarts(database, file, row))
        for row, above, to in found
    ]


def _restarts(database: Database, file: StagedFile, row: int) -> bool | None:
    """Whether the rows around a fall climb to it and go on from it.

    After a straggler, in a file in order of the ends of requests, the next rows jump back up.
    """
    before = database.arrays(
        f"SELECT arrival_ns FROM staged WHERE {_own(file.first, row)} "
        f"ORDER BY rowid DESC LIMIT {_LOOKED_AT}"
    )["arrival_ns"]
    after = database.arrays(
        f"SELECT arrival_ns FROM staged WHERE {_own(row, file.end)} "
        f"ORDER BY rowid LIMIT {_LOOKED_AT}"
    )["arrival_ns"]
    reached = float(before.max(initial=0))
    if not (_climbs(before[::-1], reached) and _climbs(after, reached)):
        return False
    return True if min(len(before), len(after)) >= _LEAST_ROWS else None


def _climbs(times: NDArray[np.int64], reached: float) -> bool:
    """Whether rows go up, in order but for a little, and never by half of the clock at once."""
    clock = times.astype(np.float64)
    highest = np.maximum.accumulate(clock)
    up, back = np.diff(highest).max(initial=0.0), (highest - clock).max(initial=0.0)
    return bool(up <= reached / 2 and back <= reached * _NEAR_START)


def _decided(
    database: Database,
    format_: Format,
    file: StagedFile,
    falls: Sequence[_Fall],
    *,
    anyway: bool,
) -> tuple[list[int], list[str]]:
    """The rows at which a file is taken apart, and what must be said of it."""
    restarts = [fall for fall in falls if fall.restarts or (anyway and fall.restarts is None)]
    unsure = [fall for fall in falls if fall.restarts is None]
    name = file.file.path.name
    # Rows in no order fall often, and a few of their falls look like a new start.
    if len(falls) > min(_MOST_FALLS, 2 * len(restarts)) and (restarts or len(unsure) > 1):
        return [], [
            f"{name} falls back to near the start of its clock "
            f"{'more than ' * (len(falls) > _MOST_FALLS)}{min(len(falls), _MOST_FALLS):,} times, "
            "too often for a clock that starts anew: its rows are sorted."
        ]
    if restarts:
        return [fall.row for fall in restarts], [
            f"The clock of {name} starts anew "
            f"{_at(database, format_, file, restarts)}: what follows is put behind what came "
            "before. --clocks one leaves the times as they are."
        ]
    if unsure:
        return [], [
            f"{name} falls back {_at(database, format_, file, unsure)}, and too few rows tell "
            "whether its clock starts anew there: its rows are sorted. --clocks each puts what "
            "follows behind what came before."
        ]
    return [], []


def _at(database: Database, format_: Format, file: StagedFile, falls: Sequence[_Fall]) -> str:
    first = falls[0]
    place = line_of(database, file, format_, first.row)
    more = f", and {format_plural(len(falls) - 1, 'time')} more" if len(falls) > 1 else ""
    return f"at {place} (from {first.from_s:,.6g} s to {first.to_s:,.6g} s{more})"


def _parts(database: Database, file: StagedFile, cuts: Sequence[int]) -> list[_Part]:
    parts = []
    for first, end in pairwise([file.first, *cuts, file.end]):
        earliest, latest = database.row(
            f"SELECT min(arrival_ns), max(arrival_ns) FROM staged WHERE {_own(first, end)}"
        )
        if earliest is not None:
            parts.append(_Part(first, end, earliest, latest))
    return parts


def _put_behind_each_other(database: Database, parts: Sequence[_Part]) -> None:
    if not parts:
        return
    latest_ns = parts[0].latest_ns
    for part in parts[1:]:
        shift = latest_ns - part.earliest_ns
        latest_ns = part.latest_ns + shift
        if shift:
            database.execute(
                f"UPDATE staged SET arrival_ns = arrival_ns + ({shift}) "
                f"WHERE {_own(part.first, part.end)}"
            )


def _overlaps(database: Database, staged: Sequence[StagedFile]) -> list[str]:
    """Files whose times overlap may be parts of one clock, or clocks that each start anew."""
    spans = sorted(
        (part.earliest_ns, part.latest_ns) for file in staged for part in _parts(database, file, ())
    )
    if all(later[0] >= earlier[1] for earlier, later in pairwise(spans)):
        return []
    return [
        "The times of the files overlap: they are taken to be of one clock. If each starts anew, "
        "--clocks each puts them behind each other; --clocks one says that it is one."
    ]


def _own(first: int, end: int) -> str:
    return f"fate IS NULL AND rowid >= {first} AND rowid < {end}"
