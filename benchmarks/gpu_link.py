"""The link between a device's memory and the host's: pinned memory, and one plain copy each way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from cpu_streams import fastest
from gpu_bench import GIB, Bench

from kvprof import _core
from kvprof.host import available_memory
from kvprof.measure.ceilings import LINK_KINDS
from kvprof.measure.ceilings import Link as Direction
from kvprof.measure.sampler import Operation
from kvprof.measure.tables import one_run

HOST_BYTES = 2 * GIB
PART_OF_HOST = 2
"""Pinned memory is lost to all others, so at most one part in so many of what is free."""
PLAIN_COPY = "per_block"
"""The variant of a swap that copies run by run: a plan of one run is one copy by the driver."""


@dataclass(frozen=True)
class Link:
    """Memory of the host that is full of random bytes, and the device's areas of the ceilings."""

    bench: Bench
    host: _core.Memory

    @property
    def variant(self) -> str:
        """The plain copy; the first of the swaps where the backend has none."""
        variants = self.bench.backend.variants("swap")
        return PLAIN_COPY if PLAIN_COPY in variants else variants[0]

    def ceiling(self, direction: Direction) -> Operation:
        """One copy of the host's whole memory, from or to an area in turn."""
        return partial(self._pass, direction, self.variant)

    def rates(self) -> dict[str, dict[str, float]]:
        """Bytes per second of both directions, as those of other ceilings."""
        return {
            direction: fastest(partial(self._pass, direction), [self.variant])
            for direction in LINK_KINDS
        }

    def _pass(self, direction: Direction, variant: str) -> _core.StreamResult:
        swap, memory, size = self.bench.backend.swap, self.bench.memory, self.host.nbytes
        here, there = one_run(self.bench.area(), size), one_run(0, size)
        if direction == "device_to_host":
            return swap(memory, self.host, _core.CopyPlan(here, there), variant)
        return swap(self.host, memory, _core.CopyPlan(there, here), variant)


@contextmanager
def linked(bench: Bench) -> Iterator[Link]:
    """2 GiB of the host's memory, or what it and the device have; given back at the end."""
    most = available_memory() // PART_OF_HOST
    size = min(bench.effort.bytes(HOST_BYTES), bench.nbytes, most >> 21 << 21)
    host = bench.backend.allocate_host(size)
    try:
        bench.backend.fill(host, 0, size, 4, finite=True)
        yield Link(bench, host)
    finally:
        host.release()
