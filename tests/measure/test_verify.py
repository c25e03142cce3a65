"""The proof before the measurement: it must pass on what is right and fail on what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvprof._core import CpuBackend
from kvprof.layout import Once
from kvprof.measure.ceilings import Ceilings
from kvprof.measure.pool import Pool, Region, map_regions
from kvprof.measure.streams import Workbench, read_jobs, run_jobs
from kvprof.measure.tables import (
    admit_all,
    contiguous,
    page_plan,
    run_slots,
    shuffled,
    table_runs,
)
from kvprof.measure.verify import VerificationError, verify_append, verify_read, verify_update
from kvprof.model import Model


class Misled:
    """A backend that reads as many rows as it was told to, of other blocks."""

    def __init__(self, backend: CpuBackend, region: Region, runs: np.ndarray) -> None:
        self._backend = backend
        others = runs + np.array([[len(runs), 0, 0]], np.uint32)
        self._wrong = page_plan(region, others)

    @property
    def facts(self) -> Any:
        return self._backend.facts

    def fill(self, *arguments: Any) -> float:
        return self._backend.fill(*arguments)

    def decode_read(self, memory: Any, plan: Any) -> Any:
        return self._backend.decode_read(memory, self._wrong)


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

    def state_update(self, memory: Any, plan: Any, *, addend: int) -> Any:
        return self._backend.state_update(memory, plan, addend=addend - 1)


@pytest.mark.parametrize("block_size", [1, 16, 24])
def test_every_stream_of_every_family_is_right(
    backend: CpuBackend, pool: Pool, small_model: Model, placed: Callable, block_size: int
) -> None:
    plan, _ = placed(small_model, 90, block_size)
    allocator = admit_all(plan, [90, 17, 41], 0)
    for region in map_regions(plan):
        runs = table_runs(allocator, region.group, region.group_index)
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
        runs = table_runs(allocator, region.group, region.group_index)
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


def test_a_read_of_the_wrong_page_is_caught_after_ceilings_wrote_everywhere(
    backend: CpuBackend, pool: Pool, small: Callable, placed: Callable
) -> None:
    plan, _ = placed(small("gqa"), 90, 16)
    allocator = admit_all(plan, [90, 17], 0)
    regions = map_regions(plan)
    ceilings = Ceilings(backend, pool)
    ceilings.operation("write", pool.nbytes)()
    misled: Any = Misled(backend, regions[0], table_runs(allocator, regions[0].group, 0))
    bench = Workbench(misled, pool, ceilings, seed=3)
    jobs = read_jobs(bench, regions, allocator, "aged", 0)
    with pytest.raises(VerificationError, match="decode_read"):
        run_jobs(bench, jobs, time.perf_counter() + 1, lambda what, part: None)
