"""The canonical rows of a workload as plain Python."""

from __future__ import annotations

from typing import NamedTuple

from kvprof.workload.batch import Workload


class Row(NamedTuple):
    """A canonical row; times in seconds, lengths in tokens."""

    arrival_s: float
    prompt: int
    output: int
    session: int
    hashes: tuple[int, ...]


def rows_of(workload: Workload, rows: int = 1000) -> list[Row]:
    """All rows of a workload, read in batches of so many rows."""
    found: list[Row] = []
    for batch in workload.batches(rows):
        assert 0 < len(batch) <= rows
        assert [a.dtype.name for a in (batch.arrival_s, batch.session, batch.hashes)] == [
            "float64",
            "int64",
            "uint64",
        ]
        ends = batch.hash_offsets.tolist()
        assert (ends[0], ends[-1]) == (0, len(batch.hashes))
        hashes = batch.hashes.tolist()
        found += [
            Row(*columns, tuple(hashes[first:end]))
            for *columns, first, end in zip(
                batch.arrival_s.tolist(),
                batch.prompt_tokens.tolist(),
                batch.output_tokens.tolist(),
                batch.session.tolist(),
                ends,
                ends[1:],
                strict=False,
            )
        ]
    return found
