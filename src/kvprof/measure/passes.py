"""Several timed passes as one."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from kvprof.measure.sampler import Timed


class Pass(Struct, frozen=True):
    """The sum of passes that ran one after the other; the clock is the slowest."""

    seconds: float
    nbytes: int
    lost_seconds: float
    clock_hz: float


def one_pass(passes: Iterable[Timed]) -> Pass:
    """One sample of several passes."""
    done = list(passes)
    return Pass(
        sum(one.seconds for one in done),
        sum(one.nbytes for one in done),
        sum(one.lost_seconds for one in done),
        min(one.clock_hz for one in done),
    )
