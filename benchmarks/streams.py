"""Compare the stream operations of the CPU backend with its ceilings, on the same memory.

Every sample of an operation is followed by one of the ceiling's fastest variant; what counts is the
median of the pairwise ratios, since the speed of a shared machine drifts by more than what is
compared. A ceiling against itself tells the noise. Writes one JSON document.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from machine import add_output_option, machine, write
from numpy.typing import NDArray

from kvprof import _core

Pass = Callable[[], _core.StreamResult]
KIB = 1024
READ_PAGES = [1 * KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB]
APPEND_ROWS = [128, 576, 1 * KIB, 4 * KIB, 16 * KIB]
UPDATE_PAGES = [4 * KIB, 16 * KIB, 64 * KIB, 1024 * KIB]
ROWS_PER_BLOCK = 16


def page_plan(page_bytes: int, order: NDArray[np.int64]) -> _core.PagePlan:
    """Whole pages of one row each, in the order given."""
    runs = np.stack([order, np.zeros_like(order), np.ones_like(order)], axis=1).astype(np.uint32)
    return _core.PagePlan(
        base_bytes=0,
        layer_stride_bytes=0,
        block_stride_bytes=page_bytes,
        layers=1,
        segments=[(0, page_bytes)],
        runs=runs,
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


@dataclass(frozen=True)
class Stream:
    """An operation over the pool, and the ceiling that it is compared with."""

    op: str
    run_bytes: int
    order: str
    ceiling: _core.Ceiling
    run: Pass


def streams(
    backend: _core.CpuBackend, memory: _core.Memory, rng: np.random.Generator
) -> Iterator[Stream]:
    """Yield every stream of the comparison, each with its plan made."""
    for page_bytes in READ_PAGES:
        pages = np.arange(memory.nbytes // page_bytes)
        for order, ids in (("contiguous", pages), ("shuffled", rng.permutation(pages))):
            read = partial(backend.decode_read, memory, page_plan(page_bytes, ids))
            yield Stream("decode_read", page_bytes, order, "read", read)
    for row_bytes in APPEND_ROWS:
        blocks = memory.nbytes // (row_bytes * ROWS_PER_BLOCK)
        slots = slot_plan(row_bytes, rng.permutation(blocks * ROWS_PER_BLOCK))
        rows = rng.integers(1, 255, (64, row_bytes), dtype=np.uint8)
        append = partial(backend.append, memory, slots, rows.data)
        yield Stream("append", row_bytes, "shuffled", "write", append)
    for page_bytes in UPDATE_PAGES:
        plan = page_plan(page_bytes, rng.permutation(memory.nbytes // page_bytes))
        update = partial(backend.state_update, memory, plan, addend=3)
        yield Stream("state_update", page_bytes, "shuffled", "rmw", update)


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


@dataclass(frozen=True)
class Compared:
    """Samples of a stream, each next to one of its ceiling."""

    bytes_per_s: list[float]
    ceiling_bytes_per_s: list[float]
    ratio_q1: float
    ratio_median: float
    ratio_q3: float

    def __str__(self) -> str:
        speed = statistics.median(self.bytes_per_s) / 1e9
        return (
            f"{speed:6.1f} GB/s  ratio to ceiling "
            f"{self.ratio_median:.3f} [{self.ratio_q1:.3f}, {self.ratio_q3:.3f}]"
        )


def compare(operation: Pass, ceiling: Pass, samples: int) -> Compared:
    """Interleave an operation with its ceiling."""
    pairs = [(bytes_per_s(operation()), bytes_per_s(ceiling())) for _ in range(samples)]
    quartiles = statistics.quantiles([speed / top for speed, top in pairs], n=4)
    return Compared([speed for speed, _ in pairs], [top for _, top in pairs], *quartiles)


def environment(backend: _core.CpuBackend) -> dict[str, object]:
    facts = backend.facts
    return {
        **machine(),
        "device": facts.name,
        "instruction_set": facts.instruction_set,
        "threads": facts.compute_units,
        "last_level_cache_bytes": facts.last_level_cache_bytes,
        "memory_bytes": facts.memory_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_output_option(parser)
    parser.add_argument("--memory", type=int, default=1 << 30, help="bytes of the pool (1 GiB)")
    parser.add_argument("--samples", type=int, default=15, help="pairs per operation (15)")
    parser.add_argument("--policy", choices=["huge_pages", "plain"], default="huge_pages")
    arguments = parser.parse_args()

    backend = _core.CpuBackend()
    memory = backend.allocate(arguments.memory, arguments.policy)
    fills = [memory.nbytes / backend.fill(memory, 0, memory.nbytes, seed) for seed in (1, 2)]
    kinds: tuple[_core.Ceiling, ...] = ("read", "write", "rmw")
    ceilings = {kind: fastest_ceiling(backend, memory, kind) for kind in kinds}
    noise = {kind: compare(run, run, arguments.samples) for kind, (_, run) in ceilings.items()}
    for kind, found in noise.items():
        print(f"{kind:5} ceiling against itself {found}", file=sys.stderr)
    results = []
    for stream in streams(backend, memory, np.random.default_rng(0)):
        found = compare(stream.run, ceilings[stream.ceiling][1], arguments.samples)
        about = f"{stream.op:13} {stream.run_bytes:>8} B {stream.order:10}"
        print(f"{about} {found}", file=sys.stderr)
        named = {"op": stream.op, "run_bytes": stream.run_bytes, "order": stream.order}
        results.append(named | {"ceiling": stream.ceiling} | asdict(found))
    document = {
        "environment": environment(backend),
        "pool": {"bytes": memory.nbytes, "policy": memory.policy},
        "fill_bytes_per_s": {"first_touch": fills[0], "again": fills[1]},
        "ceiling_variants": {kind: variant for kind, (variant, _) in ceilings.items()},
        "noise": {kind: asdict(found) for kind, found in noise.items()},
        "streams": results,
    }
    write(document, arguments.output)


if __name__ == "__main__":
    main()
