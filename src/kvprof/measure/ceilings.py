"""The best contiguous stream of each direction over the same memory: what ratios compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from kvprof._core import Backend, CopyPlan, StreamResult
from kvprof.measure.effort import THOROUGH, Effort
from kvprof.measure.phases import phase
from kvprof.measure.pool import Pool
from kvprof.measure.sampler import CoreClock
from kvprof.measure.tables import one_run
from kvprof.measure.variants import bytes_per_s, fastest

if TYPE_CHECKING:
    from kvprof._core import Ceiling

Link = Literal["device_to_host", "host_to_device"]
Kind = Literal["read", "write", "copy", "rmw", "device_to_host", "host_to_device"]

CEILING_KINDS: tuple[Ceiling, ...] = ("read", "rmw", "write", "copy")
LINK_KINDS: tuple[Link, ...] = ("device_to_host", "host_to_device")
"""Copies over the link between a device's own memory and the host's."""
STORES = ("write", "copy")
"""Passes of these may store past the caches, and so not flush them."""

_PAST_THE_CACHE = "non_temporal"
_RUN_BY_RUN = "per_block"
_CLEARLY = 1.01
_WHOLE_BYTES = 8192


class Ceilings:
    """Ceilings of one pool: the fastest variant of each kind, found at the start.

    They run over a part of the memory that no stream uses: a pass over the one half of it, the next
    over the other, so that its bytes were last touched four caches ago. A pass that reads is a
    flush too; one that stores past the cache is not. A device's own memory has a link to the host,
    and ceilings of its two directions: one copy between these halves and the host's memory.
    An ``effort`` without rounds takes one pass of the usual variant of each.
    """

    def __init__(
        self, backend: Backend, pool: Pool, clock: CoreClock, effort: Effort = THOROUGH
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._pool = pool
        self._effort = effort
        self._half_bytes = pool.ceiling_bytes // 2 // _WHOLE_BYTES * _WHOLE_BYTES
        self._second = False
        self._variant: dict[Kind, str] = {}
        self._rates: dict[Kind, list[float]] = {}
        self._links = LINK_KINDS if pool.own_memory else ()
        for kind in CEILING_KINDS:
            self._calibrate(kind, backend.ceiling_variants(kind))
        for link in self._links:
            self._calibrate(link, [_one_copy(backend)])

    @property
    def variants(self) -> dict[str, str]:
        """The fastest variant of each kind but the link's, which have one."""
        return {kind: self._variant[kind] for kind in CEILING_KINDS}

    @property
    def bytes_per_s(self) -> dict[str, float]:
        """Median over all passes of this run."""
        return self._medians(CEILING_KINDS)

    @property
    def link_bytes_per_s(self) -> dict[str, float]:
        """The same of the link's directions; none where there is no link."""
        return self._medians(self._links)

    def _medians(self, kinds: Iterable[Kind]) -> dict[str, float]:
        return {kind: float(np.median(self._rates[kind])) for kind in kinds}

    def operation(self, kind: Kind, after: str) -> Callable[[], StreamResult]:
        """A pass of the fastest variant, to come after passes of a stream's variant ``after``.

        It is flushed for where either of them leaves written lines in the caches.
        """
        past = all(name.startswith(_PAST_THE_CACHE) for name in (self._variant[kind], after))
        flushed = kind in STORES and not past

        def run() -> StreamResult:
            if flushed:
                self.flush(kind, self._variant[kind])
            result = self._pass(kind, self._variant[kind])
            self._rates[kind].append(result.nbytes / result.seconds)
            return result

        return run

    def flush(self, kind: Kind, variant: str) -> None:
        """Drive a stream's bytes out of the caches before a pass of that direction and variant.

        Before one that writes through the caches they are filled with written lines, each of which
        must go to memory before another line can come in, as in a stream without end: else what a
        short one writes would still be in a cache when the clock stops. Before one that reads, or
        stores past the caches, they are filled with lines that were read: it leaves no written
        lines, and must not pay for others'.
        """
        if not self._effort.flushes:
            return
        by: Kind = "read" if kind == "read" or variant.startswith(_PAST_THE_CACHE) else "rmw"
        self._pass(by, self._variant.get(by, ""))

    def _calibrate(self, kind: Kind, variants: Sequence[str]) -> None:
        def cold(variant: str) -> StreamResult:
            if kind in STORES:
                self.flush(kind, variant)
            return self._pass(kind, variant)

        with phase(f"calibrating {kind}", self._half_bytes):
            rounds = self._effort.rounds
            tried = variants if rounds else variants[:1]
            rates = bytes_per_s(cold, tried, max(1, rounds), self._clock)
        self._variant[kind] = fastest(rates, _CLEARLY)
        self._rates[kind] = rates[self._variant[kind]]

    def _pass(self, kind: Kind, variant: str) -> StreamResult:
        self._second = not self._second
        offset = self._pool.nbytes + (self._half_bytes if self._second else 0)
        if kind == "device_to_host" or kind == "host_to_device":  # noqa: PLR1714 (tells the type)
            return self._link_pass(kind, variant, offset)
        return self._backend.ceiling(self._pool.memory, kind, variant, offset, self._half_bytes)

    def _link_pass(self, link: Link, variant: str, offset: int) -> StreamResult:
        """One copy of as much as the host's memory and a half of the ceilings' hold."""
        memory, host = self._pool.memory, self._pool.host
        size = min(host.nbytes, self._half_bytes)
        here, there = one_run(offset, size), one_run(0, size)
        if link == "device_to_host":
            return self._backend.swap(memory, host, CopyPlan(here, there), variant)
        return self._backend.swap(host, memory, CopyPlan(there, here), variant)


def _one_copy(backend: Backend) -> str:
    """The variant of a swap that copies run by run: a plan of one run is one plain copy."""
    variants = backend.variants("swap")
    return _RUN_BY_RUN if _RUN_BY_RUN in variants else variants[0]
