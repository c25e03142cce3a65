"""The proof before the measurement: it must pass on what is right and fail on what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvprof._core import CpuBackend
from kvprof.layout import Once
from kvprof.measure.pool import Pool, map_regions
from kvprof.measure.tables import admit_all, contiguous, run_slots, shuffled, table_runs
from kvprof.measure.verify import VerificationError, verify_append, verify_read, verify_update
from kvprof.model import Model


class Faulty:
    """A backend whose streams go wrong in one way each."""

    def __init__(self, backend: CpuBackend) -> None:
        self._backend = backend

    def decode_read(self, memory: Any, plan: Any) -> Any:
        class Missed:
            checksum = self._backend.decode_read(memory, plan).checksum ^ 1

        return Missed()

    def append(self, memory: Any, plan: Any, source: np.ndarray) -> Any:
        wrong = source.copy()
        wrong[-1, -1] ^= 1  # one bit of the last row
        return self._backend.append(memory, plan, wrong)

    def state_update(self, memory: Any, plan: Any, addend: int) -> Any:
        return self._backend.state_update(memory, plan, addend - 1)


@pytest.mark.parametrize("block_size", [1, 16, 24])
def test_every_stream_of_every_family_is_right(
    backend: CpuBackend, pool: Pool, small_model: Model, placed: Callable, block_size: int
) -> None:
    plan, _ = placed(small_model, 90, block_size)
    allocator = admit_all(plan, [90, 17, 41], 0)
    for region in map_regions(plan):
        index = [id(g) for g in plan.groups].index(id(region.group))
        runs = table_runs(allocator, region.group, index)
        mixed = shuffled(runs, region.group.num_blocks or 0, 1)
        if isinstance(region.group.keep, Once):
            verify_update(backend, pool.memory, region, mixed)
            continue
        verify_read(backend, pool.memory, region, runs)
        verify_read(backend, pool.memory, region, mixed)
        verify_read(backend, pool.memory, region, contiguous(runs))
        rows = region.part.segments[0].row_bytes
        source = np.random.default_rng(5).integers(0, 256, (7, rows), np.uint8)
        slots = run_slots(mixed, region.group.rows_per_block)
        slots[3] = -1  # padding is skipped
        verify_append(backend, pool.memory, region, slots, source)


def test_a_faulty_backend_is_caught(
    backend: CpuBackend, pool: Pool, small_model: Model, placed: Callable
) -> None:
    faulty: Any = Faulty(backend)
    plan, _ = placed(small_model, 90, 16)
    allocator = admit_all(plan, [90, 17], 0)
    for region in map_regions(plan):
        index = [id(g) for g in plan.groups].index(id(region.group))
        runs = table_runs(allocator, region.group, index)
        if isinstance(region.group.keep, Once):
            with pytest.raises(VerificationError, match="state_update"):
                verify_update(faulty, pool.memory, region, runs)
            continue
        with pytest.raises(VerificationError, match="decode_read"):
            verify_read(faulty, pool.memory, region, runs)
        source = np.ones((4, region.part.segments[0].row_bytes), np.uint8)
        slots = run_slots(runs, region.group.rows_per_block)
        with pytest.raises(VerificationError, match="append"):
            verify_append(faulty, pool.memory, region, slots, source)
