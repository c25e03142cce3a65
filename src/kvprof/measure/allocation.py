"""What allocating and freeing a block costs, in the compiled core and from Python."""

from __future__ import annotations

import statistics
import time

from kvprof._core import Backend, BlockPool, time_block_operations
from kvprof.profile_result import PolicyCost

_BATCH = 16
_BLOCKS = 100_000
_PAIRS = 20_000
_REPEATS = 5
_ALLOCATION_BYTES = 2 * 2**20
_ALLOCATIONS = 32
_FREE_SHARE = 4


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


def policy_costs(backend: Backend) -> tuple[PolicyCost, ...]:
    """Allocate and free 2 MiB by each policy of the device; its pages are not touched.

    32 times, or as often as a quarter of what is free allows.

    Raises
    ------
    MemoryError
        When there is not so much.
    """
    affordable = backend.available_bytes() // _FREE_SHARE // _ALLOCATION_BYTES
    count = max(1, min(_ALLOCATIONS, affordable))
    found = []
    for policy in backend.policies:
        cost = backend.allocation_cost(_ALLOCATION_BYTES, count, policy)
        found.append(
            PolicyCost(
                policy,
                _ALLOCATION_BYTES,
                cost.asked_bytes,
                cost.held_bytes,
                cost.allocate_seconds,
                cost.free_seconds,
            )
        )
    return tuple(found)
