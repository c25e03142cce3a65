"""Variants of one operation in, the fastest of them on this machine out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvprof.measure.sampler import CoreClock, Timed

_MOST_TRIES = 3
"""Passes that were disturbed are run again, so many times."""


def bytes_per_s(
    run: Callable[[str], Timed], variants: Sequence[str], rounds: int, clock: CoreClock
) -> dict[str, list[float]]:
    """The rates of each variant, taken in turn, the best first: nothing makes a pass too fast."""
    found: dict[str, list[float]] = {variant: [] for variant in variants}
    for _ in range(rounds):
        for variant, rates in found.items():
            timed = _undisturbed(run, variant, clock)
            rates.append(timed.nbytes / timed.seconds)
    return {variant: sorted(rates, reverse=True) for variant, rates in found.items()}


def fastest(rates: dict[str, list[float]], clearly: float = 1.0) -> str:
    """The variant whose best pass is the fastest; the first, unless that is ``clearly`` beaten.

    The first of two that are alike is the same in every run, and so are figures made with it.
    """
    usual = next(iter(rates))
    best = max(rates, key=lambda variant: rates[variant][0])
    return best if rates[best][0] > clearly * rates[usual][0] else usual


def _undisturbed(run: Callable[[str], Timed], variant: str, clock: CoreClock) -> Timed:
    timed = run(variant)
    for _ in range(_MOST_TRIES - 1):
        if clock.disturbance(timed) is None:
            break
        again = run(variant)
        timed = min(timed, again, key=lambda one: one.seconds / one.nbytes)
    return timed
