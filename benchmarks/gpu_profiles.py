"""What allocations cost, the grid over batch and context, and whole profiles by the wall clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from cpu_profiles import profile
from cpu_streams import page_plan
from gpu_bench import GIB, KIB, MIB, Bench, best_compared
from gpu_streams import Row

from kvprof import _core

ALLOCATIONS = [64 * KIB, MIB, 2 * MIB, 3 * MIB, 16 * MIB, 256 * MIB, GIB]
MOST_ALLOCATED = 4 * GIB
MOST_ALLOCATIONS = 64
GRID_SEQUENCES = [1, 4, 16, 64]
GRID_TOKENS = [128, KIB, 8 * KIB, 32 * KIB, 128 * KIB]
GRID_BYTES = 10 * GIB
GRID_BLOCK_TOKENS = 64
GRID_ROW_BYTES = 1152
"""One token of one MLA layer: 576 values of bfloat16."""
PROFILED_ARCH = "mla"


def allocations(bench: Bench) -> Iterator[Row]:
    """Time to allocate and to free, and what the device holds for it, by policy and size."""
    backend, effort = bench.backend, bench.effort
    most = min(effort.bytes(MOST_ALLOCATED), backend.available_bytes() // 2)
    for policy in backend.policies:
        for nbytes in ALLOCATIONS:
            count = min(MOST_ALLOCATIONS, most // nbytes)
            if count:
                cost = backend.allocation_cost(nbytes, count, policy)
                yield {
                    "policy": policy,
                    "bytes": nbytes,
                    "count": count,
                    "allocate_seconds": cost.allocate_seconds,
                    "free_seconds": cost.free_seconds,
                    "asked_bytes": cost.asked_bytes,
                    "held_bytes": cost.held_bytes,
                }


def grid(bench: Bench) -> Iterator[Row]:
    """One layer of a decode step's read, from a batch that binds by latency to one that does not.

    The ceiling between two passes leaves other bytes in the L2, so that small batches are cold.
    """
    backend = bench.backend
    most = min(bench.effort.bytes(GRID_BYTES), backend.available_bytes() // 2)
    block_bytes = GRID_BLOCK_TOKENS * GRID_ROW_BYTES
    pool = backend.allocate(most, bench.policy)
    try:
        backend.fill(pool, 0, most, 5)
        for sequences in GRID_SEQUENCES:
            for tokens in GRID_TOKENS:
                count = sequences * tokens // GRID_BLOCK_TOKENS
                if count > most // block_bytes:
                    continue
                ids = bench.rng.choice(most // block_bytes, count, replace=False)
                plan = page_plan(block_bytes, ids)

                def run(variant: str, plan: _core.PagePlan = plan) -> _core.StreamResult:
                    return backend.decode_read(pool, plan, variant)

                found = best_compared(
                    bench, run, backend.variants("decode_read"), bench.ceiling("read")
                )
                about = {"sequences": sequences, "tokens": tokens, "bytes": plan.nbytes}
                yield about | found
    finally:
        pool.release()


def whole_profile(device: str) -> dict[str, Any]:
    """A profile as a user runs it: seconds by the wall clock, and what its reads reached."""
    start = time.perf_counter()
    document = profile("--arch", PROFILED_ARCH, "--device", device)
    seconds = time.perf_counter() - start
    kept = ("op", "order", "tokens", "run_bytes", "bytes_per_s", "ratio_to_ceiling", "variant")
    streams = document["results"][0]["streams"]
    return {
        "arch": PROFILED_ARCH,
        "seconds": seconds,
        "streams": [{key: stream[key] for key in (*kept, "noisy")} for stream in streams],
    }
