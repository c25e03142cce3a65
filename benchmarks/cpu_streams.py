"""Every stream of the CPU backend against the ceiling on the same pages, variant by variant.

A memory of at least five last-level caches is streamed whole, by an operation and by the fastest
ceiling of its direction in turn; what counts is the median of the pairwise ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pairs import compare

from kvprof import _core
from kvprof.measure.sampler import CoreClock, Operation, Timed

KIB = 1024
READ_PAGES = [KIB << shift for shift in range(0, 9)]
APPEND_ROWS = [128, 576, 656, 1 * KIB, 4 * KIB, 8 * KIB]
UPDATE_PAGES = [16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB, 4096 * KIB]
MOVE_PAGES = [4 * KIB, 16 * KIB, 64 * KIB, 512 * KIB, 2048 * KIB]
ROWS_PER_BLOCK = 16
MOST_ROWS = 4_000_000
ROUNDS = 3

Order = NDArray[np.int64]


@dataclass(frozen=True)
class Bench:
    """A device, a memory on it, a second one to swap with, and seconds for each comparison."""

    backend: _core.CpuBackend
    memory: _core.Memory
    host: _core.Memory
    seconds: float
    clock: CoreClock
    rng: np.random.Generator

    def pages(self, page_bytes: int) -> int:
        return self.memory.nbytes // page_bytes


@dataclass(frozen=True)
class Stream:
    """An operation and its variants; ``run_bytes`` lie together."""

    op: str
    run_bytes: int
    order: str
    ceiling: _core.Ceiling
    variants: list[str]
    run: Callable[[str], _core.StreamResult]


def page_plan(page_bytes: int, order: Order, base_bytes: int = 0) -> _core.PagePlan:
    """Whole pages of one row each, in the order given."""
    runs = np.stack([order, np.zeros_like(order), np.ones_like(order)], axis=1).astype(np.uint32)
    return _core.PagePlan(
        base_bytes=base_bytes,
        layer_stride_bytes=0,
        block_stride_bytes=page_bytes,
        layers=1,
        segments=[(0, page_bytes)],
        runs=runs,
    )


def slot_plan(row_bytes: int, slots: Order) -> _core.SlotPlan:
    """Rows of one layer, in the order of slots given."""
    return _core.SlotPlan(
        base_bytes=0,
        layer_stride_bytes=0,
        block_stride_bytes=ROWS_PER_BLOCK * row_bytes,
        layers=1,
        segments=[(0, row_bytes)],
        rows_per_block=ROWS_PER_BLOCK,
        slots=slots,
    )


def streams(bench: Bench) -> Iterator[Stream]:
    """Every stream, its plan made only when it is its turn."""
    yield from _reads(bench)
    yield from _appends(bench)
    yield from _updates(bench)
    yield from _zeros(bench)
    yield from _moves(bench)


def _reads(bench: Bench) -> Iterator[Stream]:
    backend, memory = bench.backend, bench.memory
    for page_bytes in READ_PAGES:
        pages = np.arange(bench.pages(page_bytes))
        for order, ids in (("contiguous", pages), ("shuffled", bench.rng.permutation(pages))):
            plan = page_plan(page_bytes, ids)

            def run(variant: str, plan: _core.PagePlan = plan) -> _core.StreamResult:
                return backend.decode_read(memory, plan, variant)

            variants = backend.variants("decode_read")
            yield Stream("decode_read", page_bytes, order, "read", variants, run)


def _appends(bench: Bench) -> Iterator[Stream]:
    backend, memory = bench.backend, bench.memory
    for row_bytes in APPEND_ROWS:
        slots = memory.nbytes // (row_bytes * ROWS_PER_BLOCK) * ROWS_PER_BLOCK
        plan = slot_plan(row_bytes, bench.rng.permutation(slots)[:MOST_ROWS])
        rows = bench.rng.integers(1, 255, (64, row_bytes), dtype=np.uint8)

        def run(
            variant: str, plan: _core.SlotPlan = plan, rows: NDArray[np.uint8] = rows
        ) -> _core.StreamResult:
            return backend.append(memory, plan, rows, variant)

        yield Stream("append", row_bytes, "shuffled", "write", backend.variants("append"), run)


def _updates(bench: Bench) -> Iterator[Stream]:
    backend, memory = bench.backend, bench.memory
    elements: tuple[_core.Element, ...] = ("float32", "bfloat16")
    for page_bytes in UPDATE_PAGES:
        plan = page_plan(page_bytes, bench.rng.permutation(bench.pages(page_bytes)))
        for element in elements:

            def run(
                variant: str, plan: _core.PagePlan = plan, element: _core.Element = element
            ) -> _core.StreamResult:
                return backend.state_update(
                    memory, plan, element=element, decay=0.875, input=0.125, variant=variant
                )

            variants = backend.variants("state_update")
            name = f"state_update {element}"
            yield Stream(name, page_bytes, "shuffled", "rmw", variants, run)


def _zeros(bench: Bench) -> Iterator[Stream]:
    backend, memory = bench.backend, bench.memory
    for page_bytes in MOVE_PAGES:
        plan = page_plan(page_bytes, bench.rng.permutation(bench.pages(page_bytes)))

        def run(variant: str, plan: _core.PagePlan = plan) -> _core.StreamResult:
            return backend.zero(memory, plan, variant)

        yield Stream("zero", page_bytes, "shuffled", "write", backend.variants("zero"), run)


def copy_plan(bench: Bench, page_bytes: int) -> _core.CopyPlan:
    """One half of the pages, drawn at random, to the other."""
    pages = bench.rng.permutation(bench.pages(page_bytes))
    half = len(pages) // 2
    source, target = pages[:half], pages[half : 2 * half]
    return _core.CopyPlan(page_plan(page_bytes, source), page_plan(page_bytes, target))


def gather_plan(bench: Bench, page_bytes: int) -> _core.CopyPlan:
    """As many pages as the host's memory takes, drawn at random, to one place after the other."""
    count = min(bench.pages(page_bytes), bench.host.nbytes // page_bytes)
    pages = bench.rng.permutation(bench.pages(page_bytes))[:count]
    there = page_plan(page_bytes, np.arange(count))
    return _core.CopyPlan(page_plan(page_bytes, pages), there)


def _moves(bench: Bench) -> Iterator[Stream]:
    backend, memory, host = bench.backend, bench.memory, bench.host
    for page_bytes in MOVE_PAGES:
        copy, out = copy_plan(bench, page_bytes), gather_plan(bench, page_bytes)

        def fork(variant: str, plan: _core.CopyPlan = copy) -> _core.StreamResult:
            return backend.block_copy(memory, plan, variant)

        def swap_out(variant: str, plan: _core.CopyPlan = out) -> _core.StreamResult:
            return backend.swap(memory, host, plan, variant)

        copies, swaps = backend.variants("block_copy"), backend.variants("swap")
        yield Stream("block_copy", page_bytes, "shuffled", "copy", copies, fork)
        yield Stream("swap_out", page_bytes, "shuffled", "copy", swaps, swap_out)


def rate(result: Timed) -> float:
    return result.nbytes / result.seconds


def fastest(run: Callable[[str], _core.StreamResult], variants: list[str]) -> dict[str, float]:
    """Bytes per second of each variant, the median of a few rounds; the fastest first."""
    found: dict[str, list[float]] = {variant: [] for variant in variants}
    for _ in range(ROUNDS):
        for variant, seen in found.items():
            seen.append(rate(run(variant)))
    typical = {variant: statistics.median(seen) for variant, seen in found.items()}
    return dict(sorted(typical.items(), key=lambda item: -item[1]))


def ceilings(bench: Bench) -> dict[str, dict[str, float]]:
    """Bytes per second of each variant of each ceiling over the whole memory, fastest first."""
    kinds: tuple[_core.Ceiling, ...] = ("read", "write", "copy", "rmw")
    found: dict[str, dict[str, float]] = {}
    for kind in kinds:

        def run(variant: str, kind: _core.Ceiling = kind) -> _core.StreamResult:
            return bench.backend.ceiling(bench.memory, kind, variant, 0, bench.memory.nbytes)

        found[kind] = fastest(run, bench.backend.ceiling_variants(kind))
    return found


def compared(bench: Bench, operation: Operation, against: Operation) -> dict[str, Any]:
    """An operation and what it is compared with, in turn."""
    return compare(operation, against, bench.seconds, bench.clock)


def stream_rows(bench: Bench, tops: dict[str, dict[str, float]]) -> Iterator[dict[str, Any]]:
    """Each stream by its fastest variant, against the fastest ceiling over the same pages."""
    for stream in streams(bench):
        by_variant = fastest(stream.run, stream.variants)
        variant, top = next(iter(by_variant)), next(iter(tops[stream.ceiling]))
        kind = stream.ceiling

        def operation(stream: Stream = stream, variant: str = variant) -> _core.StreamResult:
            return stream.run(variant)

        def ceiling(kind: _core.Ceiling = kind, top: str = top) -> _core.StreamResult:
            return bench.backend.ceiling(bench.memory, kind, top, 0, bench.memory.nbytes)

        yield {
            "op": stream.op,
            "run_bytes": stream.run_bytes,
            "order": stream.order,
            "ceiling": kind,
            "variant": variant,
            "variants_bytes_per_s": by_variant,
            **compared(bench, operation, ceiling),
        }
