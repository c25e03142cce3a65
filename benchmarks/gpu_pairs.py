"""Two operations in, the median of their pairwise ratios out.

Unlike a profile, which stops as soon as it is sure, a benchmark takes at least so many pairs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from cpu_streams import rate

from kvprof.measure.sampler import CoreClock, Operation, Timed

NOISY = 0.05
STEADY = 0.01
LEAST_PAIRS = 3


@dataclass(frozen=True)
class Effort:
    """How much is measured: pairs for each comparison, their seconds, and the scale of sizes."""

    pairs: int = 20
    seconds: float = 1.0
    scale: float = 1.0

    def bytes(self, nbytes: float) -> int:
        """So many bytes at this scale, a multiple of 2 MiB."""
        return max(1, int(nbytes * self.scale) >> 21) << 21


@dataclass(frozen=True)
class Pair:
    """An operation between two passes of what it is compared with."""

    before: Timed
    timed: Timed
    after: Timed
    disturbed: bool

    @property
    def against(self) -> float:
        return (rate(self.before) + rate(self.after)) / 2

    @property
    def ratio(self) -> float:
        return rate(self.timed) / self.against

    @property
    def drift(self) -> float:
        """By how much what it is compared with differs from itself."""
        return abs(rate(self.after) / rate(self.before) - 1)


def compare(
    operation: Operation, against: Operation, effort: Effort, clock: CoreClock
) -> dict[str, Any]:
    """The two in turn: the median ratio and its spread.

    Throttled pairs are dropped and counted, unless nearly all are.
    """
    for warm_up in (against, operation):
        warm_up()
    pairs = _pairs(operation, against, effort, clock)
    kept = [pair for pair in pairs if not pair.disturbed]
    used = kept if len(kept) >= LEAST_PAIRS else pairs
    ratios = [pair.ratio for pair in used]
    q1, median, q3 = (float(one) for one in np.percentile(ratios, (25, 50, 75)))
    drift = float(np.median([pair.drift for pair in used]))
    return {
        "ratio": median,
        "q1": q1,
        "q3": q3,
        "bytes_per_s": float(np.median([rate(pair.timed) for pair in used])),
        "against_bytes_per_s": float(np.median([pair.against for pair in used])),
        "seconds": float(np.median([pair.timed.seconds for pair in used])),
        "pairs": len(used),
        "dropped": len(pairs) - len(used),
        "noisy": len(kept) < effort.pairs or 2 * _unsure(used) > NOISY or drift > NOISY,
    }


def _pairs(
    operation: Operation, against: Operation, effort: Effort, clock: CoreClock
) -> list[Pair]:
    """At least as many as asked for, and up to twice as many while the median is unsure.

    Slow operations get five times their seconds, and then fewer pairs.
    """
    start = time.perf_counter()
    pairs: list[Pair] = []
    kept: list[Pair] = []
    before = against()
    while len(pairs) < 2 * effort.pairs:
        timed, after = operation(), against()
        disturbed = any(clock.disturbance(one) for one in (before, timed, after))
        pairs.append(Pair(before, timed, after, disturbed))
        kept = kept if disturbed else [*kept, pairs[-1]]
        before = after
        spent = time.perf_counter() - start
        if len(kept) >= effort.pairs and (spent > effort.seconds or _unsure(kept) < STEADY):
            break
        if len(pairs) >= LEAST_PAIRS and spent > 5 * effort.seconds:
            break
    return pairs


def _unsure(pairs: list[Pair]) -> float:
    """Standard error of the median ratio, relative, as for normal samples."""
    q1, median, q3 = np.percentile([pair.ratio for pair in pairs], (25, 50, 75))
    return float(1.253 * (q3 - q1) / 1.349 / median / np.sqrt(len(pairs)))
