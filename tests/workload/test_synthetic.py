"""Synthetic requests as canonical batches: lengths, arrivals, sessions that grow."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from kvprof.errors import UsageError
from kvprof.workload.batch import MOST_HASHES
from kvprof.workload.settings import parse_synthetic
from kvprof.workload.synthetic import BLOCK_TOKENS, Synthetic

from .rows import Row, rows_of


def test_batches_are_the_same_however_they_are_cut():
    source = Synthetic(requests=1000, turns=3.0, seed=4)
    assert rows_of(source, 7) == rows_of(source, 1000)
    assert rows_of(Synthetic(requests=1000, turns=3.0, seed=5)) != rows_of(source)


@pytest.mark.parametrize("turns", [1.0, 5.0])
def test_many_requests_are_drawn_part_by_part(turns):
    """More than are drawn at once: as many as asked for, in order, each session whole."""
    lengths = {"prompt_tokens": 20.0, "output_tokens": 5.0}
    source = Synthetic(requests=150_000, rate=100.0, turns=turns, pause_s=1.0, **lengths)
    count, last, most = 0, 0.0, 0
    seen: dict[int, int] = {}
    for batch in source.batches():
        assert np.all(np.diff(batch.arrival_s, prepend=last) >= 0)
        count, last, most = count + len(batch), batch.arrival_s[-1], max(most, len(batch))
        longest = zip(batch.session.tolist(), batch.prompt_tokens.tolist(), strict=True)
        for session, prompt in longest if turns > 1 else ():
            assert prompt > seen.get(session, 0)
            seen[session] = prompt
    assert (count, most <= 65_536) == (150_000, True)
    assert count / last == pytest.approx(100, rel=0.03)
    if turns > 1:
        assert len(seen) == pytest.approx(30_000, rel=0.03)


def test_a_batch_has_no_more_hashes_than_fit():
    source = Synthetic(requests=3000, turns=8.0, prompt_tokens=100_000.0, log_stddev=0.1)
    held = [(len(batch), len(batch.hashes)) for batch in source.batches()]
    assert sum(count for count, _ in held) == 3000
    assert max(hashes for _, hashes in held) <= MOST_HASHES < sum(hashes for _, hashes in held)


def test_a_duration_makes_what_arrives_in_it():
    whole = rows_of(Synthetic(requests=5000, turns=3.0, rate=10.0, seed=3))
    within = rows_of(Synthetic(requests=5000, turns=3.0, rate=10.0, seed=3, duration_s=60.0))
    assert within == [row for row in whole if row.arrival_s < 60]
    source = Synthetic(requests=None, rate=10.0, duration_s=2000.0)
    assert source.expected_requests == 20_000
    assert len(rows_of(source)) == pytest.approx(20_000, rel=0.03)
    with pytest.raises(ValueError, match="no end"):
        Synthetic(requests=None)


def test_single_requests_have_no_session_and_no_hashes():
    rows = rows_of(Synthetic(requests=500, longest_tokens=300, seed=9))
    assert {row.session for row in rows} == {-1}
    assert Synthetic(requests=1).block_tokens is None


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


def test_settings_are_the_fields_with_their_defaults():
    text = (
        "requests=20,prompt-tokens=2k,output-tokens=9.5,spread=0,longest-tokens=4k,turns=3,pause=0"
    )
    settings = parse_synthetic(text)
    assert settings == {
        "requests": 20,
        "prompt_tokens": 2048.0,
        "output_tokens": 9.5,
        "log_stddev": 0.0,
        "longest_tokens": 4096,
        "turns": 3.0,
        "pause_s": 0.0,
    }
    source = Synthetic(**settings)
    assert parse_synthetic(source.name.removeprefix("synthetic ")) == settings
    assert Synthetic(requests=7, rate=2.0).name == "synthetic requests=7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no setting"),
        ("turns", "'turns' is no setting"),
        ("turn=4", "there are requests, prompt-tokens, output-tokens, spread"),
        ("turns=4,", "'' is no setting"),
        ("turns=4,turns=5", "turns is given twice"),
        ("turns=0.5", "turns=0.5 cannot be: it must be a number from 1 to 1,000"),
        ("turns=nan", "turns=nan cannot be"),
        ("turns=4k", "turns=4k cannot be"),
        ("requests=1.5", "a whole number from 1 to 1,000,000,000"),
        ("requests=0", "requests=0 cannot be"),
        ("prompt-tokens=1e99", "prompt-tokens=1e99 cannot be"),
    ],
)
def test_settings_that_cannot_be(text, said):
    with pytest.raises(UsageError) as caught:
        parse_synthetic(text)
    assert said in str(caught.value)
