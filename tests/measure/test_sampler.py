"""Pairwise ratios, the noise gate and the stopping rule, on samples worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import NamedTuple

import pytest

from kvprof.measure.sampler import (
    MAX_SAMPLES,
    MIN_SAMPLES,
    CoreClock,
    sample_once,
    sample_pair,
    summarise,
)


class Pass(NamedTuple):
    seconds: float
    nbytes: int
    lost_seconds: float = 0.0
    clock_hz: float = 3e9


def script(seconds: Iterator[float], nbytes: int) -> Callable[[], Pass]:
    return lambda: Pass(next(seconds), nbytes)


def test_steady_samples_stop_at_once_with_the_ratio_of_the_rates() -> None:
    # 100 B in 2 s against 400 B in 1 s: 50 B/s to 400 B/s.
    paired = sample_pair(script(repeat(2.0), 100), script(repeat(1.0), 400), 1e9)
    assert paired.ratio == 0.125
    assert paired.bytes_per_s == 50.0
    assert paired.ceiling_bytes_per_s == 400.0
    assert len(paired.seconds) == MIN_SAMPLES
    assert len(paired.ceiling_seconds) == MIN_SAMPLES + 1
    assert not paired.noisy


def test_a_drift_that_hits_both_leaves_the_ratio_alone() -> None:
    # The machine slows down by 1 % from each sample to the next; operation = half the ceiling.
    # One unrecorded pass of each comes first.
    ceiling = chain([1.0], (1.01 ** (2 * i) for i in range(100)))
    operation = chain([1.0], (2 * 1.01 ** (2 * i + 1) for i in range(100)))
    paired = sample_pair(script(operation, 100), script(ceiling, 100), 1e9)
    assert paired.ratio == pytest.approx(0.5, rel=1e-3)
    assert not paired.noisy


def test_a_ceiling_that_differs_from_itself_by_more_than_a_twentieth_is_noisy() -> None:
    ceiling = chain([1.0], *(repeat([1.0, 1.1], 100)))
    paired = sample_pair(script(repeat(1.0), 100), script(ceiling, 100), 1e9)
    assert paired.noisy


def test_an_unsteady_ratio_is_sampled_until_the_limit_or_the_budget() -> None:
    def unsteady() -> Callable[[], Pass]:
        return script(chain.from_iterable(repeat([1.0, 3.0])), 100)

    ceiling = script(repeat(1.0), 100)
    assert len(sample_pair(unsteady(), ceiling, 1e9).seconds) == MAX_SAMPLES
    assert len(sample_pair(unsteady(), ceiling, 0.0).seconds) == 2


def test_a_ratio_that_another_run_could_not_repeat_is_noisy() -> None:
    # The ceiling is steady; ratios of 1 and 1/1.5 in turn, never more than five of them.
    operation = chain([1.0], chain.from_iterable(repeat([1.0, 1.5])))
    paired = sample_pair(script(operation, 100), script(repeat(1.0), 100), 0.0)
    assert paired.noisy


def passes(found: list[Pass]) -> Callable[[], Pass]:
    rest = iter(found)
    return lambda: next(rest)


def test_interrupted_and_throttled_samples_are_dropped_and_counted() -> None:
    good = Pass(1.0, 100)
    interrupted = Pass(2.0, 100, lost_seconds=0.5)
    throttled = Pass(2.0, 100, clock_hz=2e9)
    operation = passes([good, good, interrupted, good, throttled, *[good] * 9])
    paired = sample_pair(operation, script(repeat(1.0), 100), 1e9)
    assert paired.ratio == 1.0
    assert set(paired.seconds) == {1.0}
    assert len(paired.seconds) == MIN_SAMPLES
    assert paired.dropped == 2
    assert paired.disturbed == {"interrupted": 1, "throttled": 1}
    assert not paired.noisy


def test_reading_the_clock_is_no_interruption() -> None:
    # A pass of a microsecond: a part of one goes to reading clocks, and is no loss.
    short = Pass(1e-6, 100, lost_seconds=3e-7)
    lost = Pass(1e-6, 100, lost_seconds=3e-5)
    clock = CoreClock()
    assert clock.disturbance(short) is None
    assert clock.disturbance(lost) == "interrupted"


def test_one_sample_is_noisy_whatever_it_is() -> None:
    paired = sample_once(
        script(repeat(2.0), 100), script(iter([1.0]), 400), CoreClock()
    )  # one pass of each, and no more
    assert paired.ratio == 0.125
    assert (paired.seconds, paired.ceiling_seconds) == ((2.0,), (1.0,))
    assert paired.noisy
    disturbed = Pass(1.0, 100, lost_seconds=0.5)
    paired = sample_once(lambda: disturbed, lambda: disturbed, CoreClock())
    assert (paired.noisy, paired.disturbed["interrupted"]) == (True, 1)


def test_a_disturbed_ceiling_takes_the_samples_on_both_sides_with_it() -> None:
    good, disturbed = Pass(1.0, 100), Pass(3.0, 100, lost_seconds=1.0)
    ceiling = passes([good, good, good, disturbed, *[good] * 9])
    paired = sample_pair(script(repeat(1.0), 100), ceiling, 1e9)
    assert set(paired.ceiling_seconds) == {1.0}
    assert paired.disturbed == {"interrupted": 2, "throttled": 0}
    assert paired.dropped == 2


def test_where_most_samples_are_disturbed_they_are_kept_and_called_noisy() -> None:
    disturbed = Pass(1.0, 100, lost_seconds=0.5)
    paired = sample_pair(lambda: disturbed, lambda: disturbed, 0.0)
    assert paired.noisy
    assert paired.dropped == 0
    assert paired.disturbed["interrupted"] == len(paired.seconds) == 2


def test_quartiles_by_hand() -> None:
    found = summarise((1.0, 2.0, 3.0, 4.0, 5.0))
    assert (found.q1, found.median, found.q3) == (2.0, 3.0, 4.0)
    assert found.samples == (1.0, 2.0, 3.0, 4.0, 5.0)
