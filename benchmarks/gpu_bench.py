"""A device, a memory on it by one policy, its ceilings, and how two operations are compared.

An operation runs between two passes of the ceiling, each over as many bytes as all pages have; what
counts is the median of the pairwise ratios. Ceilings have two areas of their own behind the pages,
as in a profile, and take them in turn. Each of the three is many times the L2, so neither an
operation nor a ceiling finds its bytes in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
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
LEAST_BYTES = 2 * GIB
"""A launch over less would not be long enough for the device's clock."""
PARTS = 3
"""Pages, and the two areas of the ceilings."""
PART_OF_AVAILABLE = 8
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
    """What streams run on: pages in the first ``nbytes`` of the memory, which a launch streams all.

    As many bytes follow twice, for ceilings.
    """

    backend: _core.Backend
    memory: _core.Memory
    nbytes: int
    effort: Effort
    policy: str
    clock: CoreClock
    rng: np.random.Generator
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    """Bytes per second of each variant of each ceiling, fastest first."""
    _areas: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_areas", cycle((self.nbytes, 2 * self.nbytes)))

    def pages(self, page_bytes: int) -> int:
        return self.nbytes // page_bytes

    def contiguous(self, page_bytes: int) -> Order:
        """All pages, one after the other."""
        return np.arange(self.pages(page_bytes))

    def shuffled(self, page_bytes: int) -> Order:
        """All pages in any order."""
        return self.rng.permutation(self.pages(page_bytes))

    def area(self) -> int:
        """Where the area of the next ceiling begins: the one that the last did not touch."""
        return next(self._areas)

    def ceiling_pass(self, kind: _core.Ceiling, variant: str) -> _core.StreamResult:
        """One pass over the next area."""
        return self.backend.ceiling(self.memory, kind, variant, self.area(), self.nbytes)

    def ceiling(self, kind: _core.Ceiling) -> Operation:
        """The fastest pass of that kind."""
        return partial(self.ceiling_pass, kind, next(iter(self.rates[kind])))


@contextmanager
def opened(backend: _core.Backend, policy: str, effort: Effort) -> Iterator[Bench]:
    """A memory full of random finite floats, and its ceilings; given back at the end."""
    over_cache = CACHES_OVER * backend.facts.last_level_cache_bytes
    most = backend.available_bytes() // PART_OF_AVAILABLE
    size = min(effort.bytes(max(LEAST_BYTES, over_cache)), most >> 21 << 21)
    memory = backend.allocate(PARTS * size, policy)
    try:
        backend.fill(memory, 0, memory.nbytes, 1, finite=True)
        bench = Bench(backend, memory, size, effort, policy, CoreClock(), np.random.default_rng(0))
        bench.rates.update(_ceilings(bench))
        # Those that write left the same bytes everywhere, which take less power to read.
        backend.fill(memory, size, memory.nbytes - size, 2, finite=True)
        yield bench
    finally:
        memory.release()


def _ceilings(bench: Bench) -> dict[str, dict[str, float]]:
    return {
        kind: fastest(partial(bench.ceiling_pass, kind), bench.backend.ceiling_variants(kind))
        for kind in KINDS
    }


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
