"""Means and a seed in, requests in order of arrival out: drawn in parts, so that any number can be.

What waits for its time is held: turns of sessions that have started, not the whole workload.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof.workload.batch import NO_SESSION

if TYPE_CHECKING:
    from kvprof.workload.synthetic import Synthetic

DRAWN_AT_ONCE = 65_536
LONGEST_TOKENS = 2**30
"""More than any request has, whatever a wide distribution gives."""

Steps = TypeVar("Steps", NDArray[np.float64], NDArray[np.int64])


class Drawn(Struct, frozen=True):
    """Requests in order of arrival: seconds, tokens and session numbers, each ``[n]``."""

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    session: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.arrival_s)

    def part(self, which: slice | NDArray[np.int64]) -> Drawn:
        """Some of them."""
        return Drawn(*(getattr(self, name)[which] for name in self.__struct_fields__))

    def with_others(self, others: Drawn) -> Drawn:
        """Those of both, in order of arrival."""
        names = self.__struct_fields__
        both = Drawn(*(np.concatenate([getattr(self, n), getattr(others, n)]) for n in names))
        return both.part(np.argsort(both.arrival_s, kind="stable"))


_NONE = Drawn(np.zeros(0), *(np.zeros(0, np.int64) for _ in range(3)))


def draw(source: Synthetic) -> Iterator[Drawn]:
    """All requests of a source, up to its number of them and its duration, part by part."""
    parts = _sessions(source) if source.turns > 1 else _single(source)
    for drawn in parts:
        if source.duration_s is None:
            yield drawn
            continue
        within = int(np.searchsorted(drawn.arrival_s, source.duration_s))
        yield drawn.part(slice(0, within))
        if within < len(drawn):
            return


def _single(source: Synthetic) -> Iterator[Drawn]:
    """Requests that have nothing to do with each other."""
    generator = np.random.default_rng(source.seed)
    clock, done = 0.0, 0
    while source.requests is None or done < source.requests:
        count = DRAWN_AT_ONCE
        if source.requests is not None:
            count = min(count, source.requests - done)
        arrivals = clock + np.cumsum(generator.exponential(1 / source.rate, count))
        prompts = _lengths(generator, source.prompt_tokens, source.log_stddev, count)
        outputs = _lengths(generator, source.output_tokens, source.log_stddev, count)
        if source.longest_tokens is not None:
            prompts = np.minimum(prompts, max(1, source.longest_tokens // 2))
            outputs = np.minimum(outputs, np.maximum(1, source.longest_tokens - prompts))
        yield Drawn(arrivals, prompts, outputs, np.full(count, NO_SESSION, np.int64))
        clock, done = float(arrivals[-1]), done + count


def _sessions(source: Synthetic) -> Iterator[Drawn]:
    """Turns of sessions. Once the next session starts nothing comes earlier than that."""
    generator = np.random.default_rng(source.seed)
    at_once = max(1, round(DRAWN_AT_ONCE / source.turns))
    waiting, clock, sessions, done = _NONE, 0.0, 0, 0
    while source.requests is None or done < source.requests:
        turns = generator.geometric(1 / source.turns, at_once)
        if source.requests is not None:
            turns = _at_most(turns, source.requests - done)
        starts = clock + np.cumsum(generator.exponential(source.turns / source.rate, len(turns)))
        waiting = waiting.with_others(_turns_of(source, generator, turns, starts, sessions))
        clock, sessions, done = float(starts[-1]), sessions + len(turns), done + int(turns.sum())
        ready = int(np.searchsorted(waiting.arrival_s, clock))
        yield waiting.part(slice(0, ready))
        waiting = waiting.part(slice(ready, None))
    yield waiting


def _at_most(turns: NDArray[np.int64], requests: int) -> NDArray[np.int64]:
    """The sessions that come first, with so many requests in all: the last one ends early."""
    ends = np.cumsum(turns)
    last = int(np.searchsorted(ends, requests))
    if last >= len(turns):
        return turns
    kept: NDArray[np.int64] = turns[: last + 1].copy()
    kept[-1] -= ends[last] - requests
    return kept


def _turns_of(
    source: Synthetic,
    generator: np.random.Generator,
    turns: NDArray[np.int64],
    starts: NDArray[np.float64],
    number: int,
) -> Drawn:
    """The requests of sessions that have so many turns and start then; the first has a number."""
    count = int(turns.sum())
    session = np.repeat(np.arange(len(turns)), turns)
    first = np.cumsum(turns) - turns
    pauses = generator.exponential(source.pause_s, count)
    pauses[first] = starts
    written = _lengths(generator, source.prompt_tokens, source.log_stddev, count)
    outputs = _lengths(generator, source.output_tokens, source.log_stddev, count)
    prompts = _within(written + outputs, first, session) - outputs
    drawn = Drawn(_within(pauses, first, session), prompts, outputs, session + number)
    longest = min(LONGEST_TOKENS, source.longest_tokens or LONGEST_TOKENS)
    return drawn.part(np.flatnonzero(prompts + outputs <= longest))


def _within(steps: Steps, first: NDArray[np.int64], session: NDArray[np.int64]) -> Steps:
    """Running sums that start anew with each session, each ``[n]``."""
    sums: Steps = np.cumsum(steps)
    earlier: Steps = sums[first] - steps[first]
    within: Steps = sums - earlier[session]
    return within


def _lengths(
    generator: np.random.Generator, mean: float, log_stddev: float, count: int
) -> NDArray[np.int64]:
    location = np.log(mean) - log_stddev**2 / 2
    drawn = np.minimum(generator.lognormal(location, log_stddev, count), LONGEST_TOKENS)
    return np.maximum(1, np.rint(drawn)).astype(np.int64)
