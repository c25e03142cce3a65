"""Synthetic requests as canonical batches: lengths, arrivals, sessions that grow."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from kvprof.workload.synthetic import BLOCK_TOKENS, Synthetic

from .rows import Row, rows_of


def test_batches_are_the_same_however_they_are_cut():
    source = Synthetic(requests=1000, turns=3.0, seed=4)
    assert rows_of(source, 7) == rows_of(source, 1000)
    assert rows_of(Synthetic(requests=1000, turns=3.0, seed=5)) != rows_of(source)


def test_rates_and_turns_are_those_that_were_asked_for():
    source = Synthetic(requests=40_000, turns=4.0, rate=2.0, pause_s=1.0)
    rows = rows_of(source, 40_000)
    # 10,000 sessions: their number varies by sqrt(4 x 3) / 4 / 100 = 0.9 % (one sigma).
    assert len({row.session for row in rows}) == pytest.approx(10_000, rel=0.04)
    assert len(rows) / rows[-1].arrival_s == pytest.approx(2.0, rel=0.05)
    assert np.all(np.diff([row.arrival_s for row in rows]) >= 0)


def sessions_of(rows: list[Row]) -> list[list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.session, []).append(row)
    return list(found.values())


def test_a_turn_begins_with_the_turns_before_it():
    sessions = sessions_of(rows_of(Synthetic(requests=2000, turns=5.0, seed=1)))
    assert max(map(len, sessions)) > 5
    for turns in sessions:
        for before, after in itertools.pairwise(turns):
            assert after.prompt > before.prompt + before.output
            assert after.hashes[: len(before.hashes)] == before.hashes
        for turn in turns:
            assert len(turn.hashes) == turn.prompt // BLOCK_TOKENS
    first_hashes = [turns[-1].hashes for turns in sessions]
    assert len(set(itertools.chain(*first_hashes))) == sum(map(len, first_hashes))


def test_a_session_ends_before_it_outgrows_the_longest_request():
    rows = rows_of(Synthetic(requests=2000, turns=8.0, longest_tokens=1000, seed=2))
    assert 0 < len(rows) < 2000
    assert max(row.prompt + row.output for row in rows) <= 1000


@pytest.mark.parametrize("deviation", [0.5, 1.5])
def test_the_spread_of_lengths(deviation):
    rows = rows_of(Synthetic(requests=50_000, prompt_tokens=1e4, log_stddev=deviation), 50_000)
    logs = np.log([row.prompt for row in rows])
    assert logs.std() == pytest.approx(deviation, rel=0.03)
    assert np.median(logs) == pytest.approx(math.log(1e4) - deviation**2 / 2, rel=0.01)
