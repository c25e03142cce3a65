"""The best contiguous stream of each direction over the same memory: what ratios compare with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kvprof._core import StreamResult
from kvprof.device.backend import Backend
from kvprof.measure.pool import CACHES_OVER, Pool

CEILING_KINDS = ("read", "write", "copy", "rmw")
_CALIBRATION_PASSES = 3
_WHOLE_BYTES = 4096


class Ceilings:
    """Ceilings of one pool: the fastest variant of each kind, found at the start.

    Every sample is kept, so that the reported ceiling is the median over the whole run.
    """

    def __init__(self, backend: Backend, pool: Pool) -> None:
        self._backend = backend
        self._pool = pool
        self._least = min(pool.nbytes, CACHES_OVER * backend.facts.last_level_cache_bytes)
        self._variant: dict[str, str] = {}
        self._calibrated: dict[str, list[float]] = {}
        self._rates: dict[str, list[float]] = {kind: [] for kind in CEILING_KINDS}
        for kind in CEILING_KINDS:
            self._calibrate(kind)

    @property
    def variants(self) -> dict[str, str]:
        """The fastest variant of each kind."""
        return dict(self._variant)

    @property
    def bytes_per_s(self) -> dict[str, float]:
        """Median over the samples of this run; over the calibration where no stream needed it."""
        return {
            kind: float(np.median(self._rates[kind] or calibrated))
            for kind, calibrated in self._calibrated.items()
        }

    def operation(self, kind: str, nbytes: int) -> Callable[[], StreamResult]:
        """A pass over as many bytes as the stream that it is compared with moves.

        It is never so small that its bytes could come from a cache.
        """
        size = min(self._pool.nbytes, max(nbytes, self._least)) // _WHOLE_BYTES * _WHOLE_BYTES

        def run() -> StreamResult:
            result = self._pass(kind, self._variant[kind], size)
            self._rates[kind].append(result.nbytes / result.seconds)
            return result

        return run

    def flush(self) -> None:
        """Read twice the last-level cache from memory that no stream uses."""
        if self._pool.flush_bytes:
            self._backend.ceiling(
                self._pool.memory,
                "read",
                self._variant["read"],
                self._pool.nbytes,
                self._pool.flush_bytes // _WHOLE_BYTES * _WHOLE_BYTES,
            )

    def _calibrate(self, kind: str) -> None:
        size = self._least // _WHOLE_BYTES * _WHOLE_BYTES
        rates = {
            variant: [
                result.nbytes / result.seconds
                for result in (self._pass(kind, variant, size) for _ in range(_CALIBRATION_PASSES))
            ]
            for variant in self._backend.ceiling_variants(kind)
        }
        self._variant[kind] = max(rates, key=lambda variant: float(np.median(rates[variant])))
        self._calibrated[kind] = rates[self._variant[kind]]

    def _pass(self, kind: str, variant: str, nbytes: int) -> StreamResult:
        return self._backend.ceiling(self._pool.memory, kind, variant, 0, nbytes)
