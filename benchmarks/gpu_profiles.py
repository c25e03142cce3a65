"""What allocations cost, the grid over batch and context, and whole profiles by the wall clock."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

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
GOAL_ARCH = "mla"
"""Profiled with the budget that users get."""
OTHERS = ("--time-budget", "2")
SMALL = (*OTHERS, "--stream-memory", "64MiB")
"""All of them at a smaller scale; states of many megabytes do not fit then, and say so."""
MOST_SECONDS_OF_ONE = 40.0
STREAM_FIELDS = (
    "op",
    "cache",
    "order",
    "tokens",
    "run_bytes",
    "bytes_per_s",
    "ratio_to_ceiling",
    "variant",
    "noisy",
)


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


def profiles(device: str, scale: float, most_seconds: float) -> list[Row]:
    """A profile of every architecture as a user runs it: seconds by the wall clock, and ratios.

    One that fails, or for which no time is left, does not end the others.
    """
    end = time.perf_counter() + most_seconds
    others = [name for name in _architectures() if name != GOAL_ARCH]
    of_goal, of_others = ((), OTHERS) if scale >= 1 else (SMALL, SMALL)
    rows = [_profiled(GOAL_ARCH, device, of_goal, min(most_seconds, MOST_SECONDS_OF_ONE))]
    for arch in others:
        left = end - time.perf_counter()
        if left > 0:
            rows.append(_profiled(arch, device, of_others, min(left, MOST_SECONDS_OF_ONE)))
        else:
            rows.append({"arch": arch, "failed": "no time was left"})
    return rows


def _profiled(arch: str, device: str, options: tuple[str, ...], most_seconds: float) -> Row:
    start = time.perf_counter()
    try:
        document = profile("--arch", arch, "--device", device, *options, timeout=most_seconds)
    except subprocess.CalledProcessError as error:
        return {"arch": arch, "failed": f"exit code {error.returncode}"}
    except subprocess.TimeoutExpired:
        return {"arch": arch, "failed": f"not done after {most_seconds:.0f} s"}
    seconds = time.perf_counter() - start
    streams = document["results"][0]["streams"]
    kept = [{key: stream[key] for key in STREAM_FIELDS} for stream in streams]
    return {"arch": arch, "seconds": seconds, "streams": kept}


def _architectures() -> list[str]:
    command = [sys.executable, "-m", "kvprof", "list", "architectures", "--format", "json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [row["name"] for row in json.loads(done.stdout)["results"]]
