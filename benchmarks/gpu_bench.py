"""A device, a memory on it by one policy, its ceilings, and how two operations are compared.

An operation runs between two passes of the ceiling that move as many bytes; what counts is the
median of the pairwise ratios. A working set is many times the L2, and the ceiling between two
passes of an operation has been over other bytes, so neither finds its bytes in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cpu_streams import Order, fastest
from pairs import compare

from kvprof import _core
from kvprof.measure.sampler import CoreClock, Operation

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
CACHES_OVER = 20
LEAST_MEMORY_BYTES = 2 * GIB
LEAST_READ_BYTES = GIB
CEILING_STEP = 8 * KIB
PART_OF_AVAILABLE = 4
"""The memory, its source and its copies must fit beside one another on a small device."""
KINDS: tuple[_core.Ceiling, ...] = ("read", "write", "copy", "rmw")


@dataclass(frozen=True)
class Effort:
    """Seconds at most for each comparison, the scale of sizes, and seconds for all profiles."""

    seconds: float = 1.0
    scale: float = 1.0
    profile_seconds: float = 120.0

    def bytes(self, nbytes: float) -> int:
        """So many bytes at this scale, a multiple of 2 MiB."""
        return max(1, int(nbytes * self.scale) >> 21) << 21


@dataclass(frozen=True)
class Bench:
    """What streams run on. ``read_bytes`` of the memory are streamed by one launch."""

    backend: _core.Backend
    memory: _core.Memory
    read_bytes: int
    effort: Effort
    policy: str
    clock: CoreClock
    rng: np.random.Generator
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    """Bytes per second of each variant of each ceiling, fastest first."""

    def pages(self, page_bytes: int) -> int:
        return self.memory.nbytes // page_bytes

    def contiguous(self, page_bytes: int) -> Order:
        """As many pages as one launch reads, from the first on."""
        return np.arange(max(1, self.read_bytes // page_bytes))

    def shuffled(self, page_bytes: int) -> Order:
        """As many, drawn from the whole memory."""
        count = max(1, self.read_bytes // page_bytes)
        return self.rng.choice(self.pages(page_bytes), count, replace=False)

    def ceiling(self, kind: _core.Ceiling, nbytes: int | None = None) -> Operation:
        """The fastest pass of that kind over the first ``nbytes``, whole blocks of 8 KiB.

        A copy goes to the second half of them, which must not begin within a cache line.
        """
        variant = next(iter(self.rates[kind]))
        wanted = self.memory.nbytes if nbytes is None else -(-nbytes // CEILING_STEP) * CEILING_STEP
        over = min(wanted, self.memory.nbytes)
        return lambda: self.backend.ceiling(self.memory, kind, variant, 0, over)


@contextmanager
def opened(backend: _core.Backend, policy: str, effort: Effort) -> Iterator[Bench]:
    """A memory full of random finite floats, and its ceilings; given back at the end."""
    over_cache = CACHES_OVER * backend.facts.last_level_cache_bytes
    most = backend.available_bytes() // PART_OF_AVAILABLE
    read = min(effort.bytes(max(LEAST_READ_BYTES, over_cache)), most)
    size = min(effort.bytes(max(LEAST_MEMORY_BYTES, 2 * over_cache)), most)
    memory = backend.allocate(size, policy)
    try:
        backend.fill(memory, 0, size, 1, finite=True)
        bench = Bench(backend, memory, read, effort, policy, CoreClock(), np.random.default_rng(0))
        bench.rates.update(_ceilings(bench))
        backend.fill(memory, 0, size, 1, finite=True)
        yield bench
    finally:
        memory.release()


def _ceilings(bench: Bench) -> dict[str, dict[str, float]]:
    def by_variant(kind: _core.Ceiling) -> dict[str, float]:
        def run(variant: str) -> _core.StreamResult:
            return bench.backend.ceiling(bench.memory, kind, variant, 0, bench.memory.nbytes)

        return fastest(run, bench.backend.ceiling_variants(kind))

    return {kind: by_variant(kind) for kind in KINDS}


def compared(bench: Bench, operation: Operation, against: Operation) -> dict[str, Any]:
    """An operation and what it is compared with, in turn."""
    return compare(operation, against, bench.effort.seconds, bench.clock)


def best_compared(
    bench: Bench,
    run: Callable[[str], _core.StreamResult],
    variants: list[str],
    against: Operation,
) -> dict[str, Any]:
    """By the fastest variant, and the rates of all."""
    by_variant = fastest(run, variants)
    variant = next(iter(by_variant))
    return {
        "variant": variant,
        "variants_bytes_per_s": by_variant,
        **compared(bench, lambda: run(variant), against),
    }
