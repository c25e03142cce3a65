"""Two timed operations in, their interleaved samples and the median of their ratios out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof.profile_result import SampleSeconds


class Timed(Protocol):
    """What one timed pass gives: `kvprof._core.StreamResult` and its kin."""

    @property
    def seconds(self) -> float: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def lost_seconds(self) -> float: ...
    @property
    def clock_hz(self) -> float: ...


Rates = NDArray[np.float64]
Operation = Callable[[], Timed]

MIN_SAMPLES = 9
MAX_SAMPLES = 60
NOISE_BOUND = 0.01
"""Sampling stops when the median ratio's estimated relative error is below this."""
NOISE_GATE = 0.05
"""A ceiling that differs from itself by more marks a measurement as noisy, and so does a ratio that
another run could give with a difference of more."""
INTERRUPTED = 0.01
"""A pass in which a thread was without its CPU for more than this part was interrupted."""
THROTTLED = 0.75
"""A core slower than this part of the fastest clock seen is throttled (nvbench's threshold)."""

_LEAST_LOST_SECONDS = 10e-6
"""To read the clocks takes a part of a microsecond; to lose a CPU takes more than this."""
_NORMAL_IQR = 1.349
_MEDIAN_ERROR = 1.253
"""Standard error of a median over that of a mean, for normal samples."""
_SHARED = 1.41
"""Neighbouring ratios share a pass of the ceiling, so they tell less than as many apart would."""
_CONFIDENCE = 2.8
"""Standard errors by which two medians of the same differ at most, 19 times of 20: 2 x sqrt(2)."""
_BOTH = 2
"""Attempts for each sample that is wanted, before disturbed ones are taken as well."""


class CoreClock:
    """The fastest clock that any pass has seen; slower cores are throttled."""

    def __init__(self) -> None:
        self._fastest_hz = 0.0

    def disturbance(self, timed: Timed) -> str | None:
        """Why a pass should not count: ``interrupted``, ``throttled``, or None."""
        self._fastest_hz = max(self._fastest_hz, timed.clock_hz)
        if timed.lost_seconds > max(INTERRUPTED * timed.seconds, _LEAST_LOST_SECONDS):
            return "interrupted"
        if 0 < timed.clock_hz < THROTTLED * self._fastest_hz:
            return "throttled"
        return None


class Paired(Struct, frozen=True):
    """Samples of an operation, each with the rate of its ceiling around it.

    Attributes
    ----------
    seconds
        Raw samples of the operation.
    ceiling_seconds
        Raw samples of the ceiling: those beside a sample above, in order.
    nbytes
        Bytes that one sample of the operation moves.
    ratio
        Median over the samples of the operation's rate to the mean rate of its two neighbours.
    dropped, disturbed
        Samples that were left out, and why any was disturbed: it, or its ceiling, was
        ``interrupted`` or ``throttled``. Where too few would be left, none is left out.
    noisy
        Whether the ceiling differs from itself by more than 5 % in the median, the ratio could
        differ by more than 5 % from that of another run, or too many samples were disturbed to
        leave them out.
    """

    seconds: tuple[float, ...]
    ceiling_seconds: tuple[float, ...]
    nbytes: int
    ceiling_bytes_per_s: float
    ratio: float
    dropped: int
    disturbed: dict[str, int]
    noisy: bool

    @property
    def bytes_per_s(self) -> float:
        return self.nbytes / float(np.median(self.seconds))


class _Sample(Struct, frozen=True):
    """An operation between two passes of its ceiling."""

    before: Timed
    timed: Timed
    after: Timed
    disturbance: str | None

    @property
    def ratio(self) -> float:
        return _rate(self.timed) / ((_rate(self.before) + _rate(self.after)) / 2)

    @property
    def drift(self) -> float:
        """By how much the ceiling differs from itself."""
        return abs(_rate(self.after) / _rate(self.before) - 1)


def sample_pair(
    operation: Operation,
    ceiling: Operation,
    budget_seconds: float,
    clock: CoreClock | None = None,
    most_samples: int = MAX_SAMPLES,
) -> Paired:
    """Run ceiling and operation in turn until the ratio is steady or the budget is spent.

    Both are run once unrecorded first; neither may leave bytes in a cache that the other would find
    there. Samples that were interrupted or throttled are left out and counted, unless fewer than
    nine would be left.
    """
    clock = clock or CoreClock()
    deadline = time.perf_counter() + budget_seconds
    for warm_up in (ceiling, operation):
        warm_up()
    samples: list[_Sample] = []
    kept: list[_Sample] = []
    before = ceiling()
    while len(kept) < most_samples and len(samples) < _BOTH * most_samples:
        timed = operation()
        after = ceiling()
        disturbances = [clock.disturbance(one) for one in (timed, before, after)]
        samples.append(_Sample(before, timed, after, next(filter(None, disturbances), None)))
        before = after
        kept = [sample for sample in samples if sample.disturbance is None]
        if len(kept) >= MIN_SAMPLES and _relative_error(_ratios(kept)) < NOISE_BOUND:
            break
        if len(samples) >= 2 and time.perf_counter() > deadline:
            break
    return _paired(samples, kept)


def sample_once(operation: Operation, ceiling: Operation, clock: CoreClock) -> Paired:
    """One pass of the ceiling and one of the operation: a sample that tells little, and is noisy.

    For runs under a tool that slows passes down or repeats them, where figures mean nothing.
    """
    before, timed = ceiling(), operation()
    disturbances = (clock.disturbance(one) for one in (timed, before))
    sample = _Sample(before, timed, before, next(filter(None, disturbances), None))
    return _paired([sample], [] if sample.disturbance else [sample])


def _paired(samples: list[_Sample], kept: list[_Sample]) -> Paired:
    disturbed = len(kept) < min(MIN_SAMPLES, len(samples))
    used = samples if disturbed else kept
    ratios = _ratios(used)
    reasons = Counter(sample.disturbance for sample in samples if sample.disturbance)
    uncertain = len(used) < MIN_SAMPLES or _CONFIDENCE * _relative_error(ratios) > NOISE_GATE
    drifting = float(np.median([sample.drift for sample in used])) > NOISE_GATE
    return Paired(
        seconds=tuple(sample.timed.seconds for sample in used),
        ceiling_seconds=tuple(one.seconds for one in _ceilings(used)),
        nbytes=used[0].timed.nbytes,
        ceiling_bytes_per_s=float(np.median([_rate(one) for one in _ceilings(used)])),
        ratio=float(np.median(ratios)),
        dropped=len(samples) - len(used),
        disturbed={why: reasons[why] for why in ("interrupted", "throttled")},
        noisy=disturbed or uncertain or drifting,
    )


def _ceilings(samples: list[_Sample]) -> list[Timed]:
    """Every pass of the ceiling beside a sample, once."""
    passes = [samples[0].before]
    for sample in samples:
        passes += [one for one in (sample.before, sample.after) if passes[-1] is not one]
    return passes


def summarise(seconds: tuple[float, ...]) -> SampleSeconds:
    """Median and quartiles beside the raw samples."""
    q1, median, q3 = (float(q) for q in np.percentile(seconds, (25, 50, 75)))
    return SampleSeconds(median, q1, q3, seconds)


def _rate(timed: Timed) -> float:
    return timed.nbytes / timed.seconds


def _ratios(samples: list[_Sample]) -> Rates:
    return np.array([sample.ratio for sample in samples])


def _relative_error(ratios: Rates) -> float:
    q1, median, q3 = np.percentile(ratios, (25, 50, 75))
    spread = (q3 - q1) / _NORMAL_IQR / median
    return float(_SHARED * _MEDIAN_ERROR * spread / np.sqrt(len(ratios)))
