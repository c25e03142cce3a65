"""Two timed operations in, their interleaved samples and the median of their ratios out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof.result import SampleSeconds


class Timed(Protocol):
    """What one timed pass gives: `kvprof._core.StreamResult` and its kin."""

    @property
    def seconds(self) -> float: ...
    @property
    def nbytes(self) -> int: ...


Rates = NDArray[np.float64]
Operation = Callable[[], Timed]

MIN_SAMPLES = 5
MAX_SAMPLES = 60
NOISE_BOUND = 0.01
"""Sampling stops when the median ratio's estimated relative error is below this."""
NOISE_GATE = 0.05
"""A ceiling that differs from itself by more marks a measurement as noisy."""

_NORMAL_IQR = 1.349
_MEDIAN_ERROR = 1.253
"""Standard error of a median over that of a mean, for normal samples."""


class Paired(Struct, frozen=True):
    """Samples of an operation between samples of its ceiling.

    Attributes
    ----------
    seconds, ceiling_seconds
        Raw samples; there is one more of the ceiling.
    nbytes
        Bytes that one sample of the operation moves.
    ratio
        Median over the samples of the operation's rate to the mean rate of its two neighbours.
    noisy
        Whether the ceiling differs from itself, in the median, by more than 5 %.
    """

    seconds: tuple[float, ...]
    ceiling_seconds: tuple[float, ...]
    nbytes: int
    ceiling_bytes_per_s: float
    ratio: float
    noisy: bool

    @property
    def bytes_per_s(self) -> float:
        return self.nbytes / float(np.median(self.seconds))


def sample_pair(
    operation: Operation, ceiling: Operation, flush: Callable[[], None], budget_seconds: float
) -> Paired:
    """Run ceiling and operation in turn until the ratio is steady or the budget is spent.

    Both are run once unrecorded first. ``flush`` runs, untimed, before each of them.
    """
    deadline = time.perf_counter() + budget_seconds
    for warm_up in (ceiling, operation):
        warm_up()
    samples: list[Timed] = []
    ceilings = [_timed(ceiling, flush)]
    while len(samples) < MAX_SAMPLES:
        samples.append(_timed(operation, flush))
        ceilings.append(_timed(ceiling, flush))
        if (
            len(samples) >= MIN_SAMPLES
            and _relative_error(_ratios(samples, ceilings)) < NOISE_BOUND
        ):
            break
        if len(samples) >= 2 and time.perf_counter() > deadline:
            break
    rates = _rates(ceilings)
    drift = np.abs(rates[1:] / rates[:-1] - 1)
    return Paired(
        seconds=tuple(result.seconds for result in samples),
        ceiling_seconds=tuple(result.seconds for result in ceilings),
        nbytes=samples[0].nbytes,
        ceiling_bytes_per_s=float(np.median(rates)),
        ratio=float(np.median(_ratios(samples, ceilings))),
        noisy=bool(np.median(drift) > NOISE_GATE),
    )


def summarise(seconds: tuple[float, ...]) -> SampleSeconds:
    """Median and quartiles beside the raw samples."""
    q1, median, q3 = (float(q) for q in np.percentile(seconds, (25, 50, 75)))
    return SampleSeconds(median, q1, q3, seconds)


def _timed(operation: Operation, flush: Callable[[], None]) -> Timed:
    flush()
    return operation()


def _rates(results: list[Timed]) -> Rates:
    return np.array([result.nbytes / result.seconds for result in results])


def _ratios(samples: list[Timed], ceilings: list[Timed]) -> Rates:
    around = _rates(ceilings)
    ratios: Rates = _rates(samples) / ((around[1:] + around[:-1]) / 2)
    return ratios


def _relative_error(ratios: Rates) -> float:
    q1, median, q3 = np.percentile(ratios, (25, 50, 75))
    return float(_MEDIAN_ERROR * (q3 - q1) / _NORMAL_IQR / median / np.sqrt(len(ratios)))
