"""What allocating and freeing a block costs, in the compiled core and from Python."""

from __future__ import annotations

import statistics
import time

from kvprof._core import BlockPool, time_block_operations

_BATCH = 16
_BLOCKS = 100_000
_PAIRS = 20_000
_REPEATS = 5


def block_ops_per_s() -> float:
    """Blocks allocated or freed per second in C++: 16 at a time, one thread, the best of five."""
    seconds = min(time_block_operations(_BLOCKS, _BATCH, _PAIRS) for _ in range(_REPEATS))
    return 2 * _BATCH * _PAIRS / seconds


def python_call_seconds() -> float:
    """Seconds of one call from Python that allocates 16 blocks, the median of many."""
    pool = BlockPool(_BLOCKS)
    samples = []
    for _ in range(1000):
        started = time.perf_counter()
        blocks = pool.allocate(_BATCH)
        samples.append(time.perf_counter() - started)
        pool.free(blocks)
    return statistics.median(samples)
