"""Compare the stream operations of the CPU backend with its ceilings, on the same memory.

Every sample of an operation is followed by one of the ceiling's fastest variant; what counts is the
median of the pairwise ratios, since the speed of a shared machine drifts by more than what is
compared. A ceiling against itself tells the noise. Writes one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvprof import _core

Pass = Callable[[], _core.StreamResult]
KIB = 1024
READ_PAGES = [1 * KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB]
APPEND_ROWS = [128, 576, 1 * KIB, 4 * KIB, 16 * KIB]
UPDATE_PAGES = [16 * KIB, 64 * KIB, 1024 * KIB]
ROWS_PER_BLOCK = 16


def page_plan(page_bytes: int, order: NDArray[np.uint32]) -> _core.PagePlan:
    """Whole pages of one row each, in the order given."""
    runs = np.stack([order, np.zeros_like(order), np.ones_like(order)], axis=1)
    return _core.PagePlan(
        base_bytes=0,
        layer_stride_bytes=0,
        block_stride_bytes=page_bytes,
        layers=1,
        segments=[(0, page_bytes)],
        runs=runs.astype(np.uint32),
    )


def slot_plan(row_bytes: int, order: NDArray[np.int64]) -> _core.SlotPlan:
    """Rows of one layer, in the order of slots given."""
    return _core.SlotPlan(
        base_bytes=0,
        layer_stride_bytes=0,
        block_stride_bytes=ROWS_PER_BLOCK * row_bytes,
        layers=1,
        segments=[(0, row_bytes)],
        rows_per_block=ROWS_PER_BLOCK,
        slots=order.astype(np.int64),
    )


def operations(
    backend: _core.CpuBackend, memory: _core.Memory, rng: np.random.Generator
) -> Iterator[tuple[dict[str, object], str, Pass]]:
    """Yield (what it is, its ceiling, one pass of it)."""
    yield (
        {"op": "ceiling", "run_bytes": memory.nbytes, "order": "contiguous"},
        "read",
        fastest_ceiling(backend, memory, "read")[1],
    )
    for page_bytes in READ_PAGES:
        pages = np.arange(memory.nbytes // page_bytes)
        for order, ids in (("contiguous", pages), ("shuffled", rng.permutation(pages))):
            plan = page_plan(page_bytes, ids)
            about: dict[str, object] = {"op": "decode_read", "run_bytes": page_bytes}
            yield about | {"order": order}, "read", lambda p=plan: backend.decode_read(memory, p)
    for row_bytes in APPEND_ROWS:
        blocks = memory.nbytes // (row_bytes * ROWS_PER_BLOCK)
        slots = slot_plan(row_bytes, rng.permutation(blocks * ROWS_PER_BLOCK))
        rows = rng.integers(1, 255, (64, row_bytes), dtype=np.uint8)
        about = {"op": "append", "run_bytes": row_bytes, "order": "shuffled"}
        yield about, "write", lambda p=slots, s=rows: backend.append(memory, p, s)
    for page_bytes in UPDATE_PAGES:
        plan = page_plan(page_bytes, rng.permutation(memory.nbytes // page_bytes))
        about = {"op": "state_update", "run_bytes": page_bytes, "order": "shuffled"}
        yield about, "rmw", lambda p=plan: backend.state_update(memory, p, 3)


def bytes_per_s(result: _core.StreamResult) -> float:
    return result.nbytes / result.seconds


def fastest_ceiling(
    backend: _core.CpuBackend, memory: _core.Memory, kind: _core.Ceiling
) -> tuple[str, Pass]:
    """Return the variant with the best median of five rounds, and one pass of it."""
    speeds: dict[str, list[float]] = {name: [] for name in backend.ceiling_variants(kind)}
    for _ in range(5):
        for name, seen in speeds.items():
            seen.append(bytes_per_s(backend.ceiling(memory, kind, name, 0, memory.nbytes)))
    best = max(speeds, key=lambda name: statistics.median(speeds[name]))
    return best, lambda: backend.ceiling(memory, kind, best, 0, memory.nbytes)


def compare(operation: Pass, ceiling: Pass, samples: int) -> dict[str, object]:
    """Interleave an operation with its ceiling."""
    pairs = [(bytes_per_s(operation()), bytes_per_s(ceiling())) for _ in range(samples)]
    q1, median, q3 = statistics.quantiles([speed / top for speed, top in pairs], n=4)
    return {
        "bytes_per_s": statistics.median(speed for speed, _ in pairs),
        "ceiling_bytes_per_s": statistics.median(top for _, top in pairs),
        "ratio_to_ceiling": {"median": median, "q1": q1, "q3": q3, "samples": samples},
    }


def git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def environment(backend: _core.CpuBackend) -> dict[str, object]:
    facts = backend.facts
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "device": facts.name,
        "instruction_set": facts.instruction_set,
        "threads": facts.compute_units,
        "last_level_cache_bytes": facts.last_level_cache_bytes,
        "memory_bytes": facts.memory_bytes,
        "kernel": platform.release(),
        "load_average": os.getloadavg(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="JSON file; standard output without it")
    parser.add_argument("--memory", type=int, default=1 << 30, help="bytes of the pool (1 GiB)")
    parser.add_argument("--samples", type=int, default=15, help="pairs per operation (15)")
    parser.add_argument("--policy", choices=["huge_pages", "plain"], default="huge_pages")
    arguments = parser.parse_args()

    backend = _core.CpuBackend()
    memory = backend.allocate(arguments.memory, arguments.policy)
    fills = [memory.nbytes / backend.fill(memory, 0, memory.nbytes, seed) for seed in (1, 2)]
    ceilings = {kind: fastest_ceiling(backend, memory, kind) for kind in ("read", "write", "rmw")}
    streams = []
    for about, kind, operation in operations(backend, memory, np.random.default_rng(0)):
        variant, ceiling = ceilings[kind]
        found = compare(operation, ceiling, arguments.samples)
        streams.append(about | {"ceiling": kind, "ceiling_variant": variant} | found)
        print(
            f"{about['op']:13} {about['run_bytes']:>10} B {about['order']:10}",
            f"{found['bytes_per_s'] / 1e9:6.1f} GB/s  ratio to {kind}",
            "{median:.3f} [{q1:.3f}, {q3:.3f}]".format(**found["ratio_to_ceiling"]),
            file=sys.stderr,
        )
    document = {
        "environment": environment(backend),
        "pool": {"bytes": memory.nbytes, "policy": memory.policy},
        "fill_bytes_per_s": {"first_touch": fills[0], "again": fills[1]},
        "streams": streams,
    }
    text = json.dumps(document, indent=1) + "\n"
    if arguments.output:
        arguments.output.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
