"""Two operations in, figures of their paired samples out: a profile's method, for any two."""

from __future__ import annotations

import statistics
from typing import Any

from kvprof.measure.sampler import CoreClock, Operation, sample_pair


def compare(
    operation: Operation, against: Operation, budget_seconds: float, clock: CoreClock
) -> dict[str, Any]:
    """The two in turn: the median ratio of their rates, and how far it can be trusted."""
    paired = sample_pair(operation, against, budget_seconds, clock)
    return {
        "bytes_per_s": paired.bytes_per_s,
        "seconds": statistics.median(paired.seconds),
        "against_bytes_per_s": paired.ceiling_bytes_per_s,
        "ratio": paired.ratio,
        "samples": len(paired.seconds),
        "dropped": paired.dropped,
        "disturbed": paired.disturbed,
        "noisy": paired.noisy,
    }
