"""The proof before the measurement: it must pass on what is right and fail on what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest

from kvprof._core import CopyPlan, CpuBackend, PagePlan
from kvprof.layout import Once
from kvprof.measure.block_tables import Tables, fresh_tables
from kvprof.measure.host_pages import See, copied, host_pages
from kvprof.measure.jobs import Workbench, run_jobs
from kvprof.measure.passes import Pass
from kvprof.measure.pool import Pool
from kvprof.measure.regions import Region, map_regions
from kvprof.measure.streams import table_jobs, workload_jobs
from kvprof.measure.tables import (
    host_plan,
    page_plan,
    run_slots,
    shuffled,
    shuffled_places,
    table_runs,
    whole_blocks_plan,
)
from kvprof.measure.verify import (
    VerificationError,
    verify_append,
    verify_block_copy,
    verify_contiguous,
    verify_guards,
    verify_read,
    verify_swapped,
    verify_update,
    verify_zero,
)
from kvprof.model import Model
from kvprof.page_order import HEADS, KEYS_AND_VALUES, OUTER, PageOrder

ORDERS = [PageOrder(*order) for order in product(HEADS, KEYS_AND_VALUES, OUTER)]
SEEN = {
    "viewed": host_pages,
    "copied": copied,
    "in_part": partial(copied, most_reads=7, most_bytes=2**17),
}
"""Ways in which the host sees a memory; the last ones are for what it cannot address."""


class Wrapped:
    """A backend that does one operation wrongly."""

    def __init__(self, backend: CpuBackend, operation: str, wrong: Callable) -> None:
        self._backend = backend
        setattr(self, operation, lambda *a, **k: wrong(backend, *a, **k))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class Missed:
    """A result whose checksum is off by a bit."""

    def __init__(self, result: Any) -> None:
        self.checksum = result.checksum ^ 1


def a_bit_is_missed(backend: CpuBackend, memory: Any, plan: Any, variant: str) -> Any:
    return Missed(backend.decode_read(memory, plan, variant))


def a_bit_of_the_last_row_is_wrong(
    backend: CpuBackend, memory: Any, plan: Any, source: np.ndarray, variant: str
) -> Any:
    wrong = source.copy()
    wrong[-1, -1] ^= 1
    return backend.append(memory, plan, wrong, variant)


def another_addend(backend: CpuBackend, memory: Any, plan: Any, **terms: Any) -> Any:
    changed = terms | {"addend": terms["addend"] - 1, "input": terms["input"] * 1.01}
    return backend.state_update(memory, plan, **changed)


def nothing(backend: CpuBackend, *arguments: Any) -> None:
    return None


def state_regions_are_finite(backend: CpuBackend, pool: Pool, regions: tuple[Region, ...]) -> None:
    Workbench(backend, pool, seed=3).refill(regions)


@pytest.mark.parametrize("see", SEEN.values(), ids=SEEN)
@pytest.mark.parametrize("order", ORDERS, ids=lambda o: f"{o.heads}-{o.kv}-{o.outer}")
@pytest.mark.parametrize("block_size", [1, 16, 24])
def test_every_stream_of_every_family_is_right(
    backend: CpuBackend,
    pool: Pool,
    small_model: Model,
    placed: Callable,
    block_size: int,
    order: PageOrder,
    see: See,
) -> None:
    plan, _ = placed(small_model, 90, block_size, order)
    tables = fresh_tables(plan, [90, 17, 41], 0)
    regions = map_regions(plan)
    state_regions_are_finite(backend, pool, regions)
    for region in regions:
        runs = table_runs(tables, region.group, region.group_index)
        mixed = shuffled(runs, region.blocks, 1)
        blocks = np.unique(mixed[:, 0])
        others = np.setdiff1d(np.arange(region.blocks, dtype=np.uint32), blocks)[: len(blocks)]
        verify_block_copy(backend, pool.memory, region, blocks[: len(others)], others, see=see)
        if isinstance(region.group.keep, Once):
            verify_update(backend, pool.memory, region, mixed, see=see)
        else:
            verify_read(backend, pool.memory, region, runs, see=see)
            verify_read(backend, pool.memory, region, mixed, see=see)
            verify_contiguous(backend, pool.memory, region, int(runs[:, 2].sum()), see=see)
            source = np.random.default_rng(5).integers(0, 256, (7, region.row_bytes), np.uint8)
            slots = run_slots(mixed, region.group.rows_per_block)
            slots[3] = -1  # padding is skipped
            verify_append(backend, pool.memory, region, slots, source, see=see)
        here, there = whole_blocks_plan(region, blocks), host_plan(region, blocks)
        backend.swap(pool.memory, pool.host, CopyPlan(here, there))
        verify_swapped("swap_out", pool.memory, region, blocks, pool.host, see)
        verify_zero(backend, pool.memory, region, blocks, see=see)
        backend.swap(pool.host, pool.memory, CopyPlan(there, here))
        verify_swapped("swap_in", pool.memory, region, blocks, pool.host, see)


@pytest.mark.parametrize("see", SEEN.values(), ids=SEEN)
@pytest.mark.parametrize("order", [PageOrder(), PageOrder("hnd", "apart", "block")])
def test_a_faulty_backend_is_caught(
    backend: CpuBackend,
    pool: Pool,
    small_model: Model,
    placed: Callable,
    order: PageOrder,
    see: See,
) -> None:
    plan, _ = placed(small_model, 90, 16, order)
    tables = fresh_tables(plan, [90, 17], 0)
    regions = map_regions(plan)
    state_regions_are_finite(backend, pool, regions)
    memory = pool.memory
    for region in regions:
        runs = table_runs(tables, region.group, region.group_index)
        blocks = np.unique(runs[:, 0])
        others = blocks + np.uint32(len(blocks))
        faulty: Any = Wrapped(backend, "block_copy", nothing)
        with pytest.raises(VerificationError, match="block_copy"):
            verify_block_copy(faulty, memory, region, blocks, others, see=see)
        faulty = Wrapped(backend, "zero", nothing)
        with pytest.raises(VerificationError, match="zero"):
            verify_zero(faulty, memory, region, blocks, see=see)
        backend.fill(pool.host, 0, pool.host.nbytes, 1)
        with pytest.raises(VerificationError, match="swap_out"):
            verify_swapped("swap_out", memory, region, blocks, pool.host, see)
        if isinstance(region.group.keep, Once):
            faulty = Wrapped(backend, "state_update", another_addend)
            with pytest.raises(VerificationError, match="state_update"):
                verify_update(faulty, memory, region, runs, see=see)
            continue
        faulty = Wrapped(backend, "decode_read", a_bit_is_missed)
        with pytest.raises(VerificationError, match="decode_read"):
            verify_read(faulty, memory, region, runs, see=see)
        with pytest.raises(VerificationError, match="decode_read"):
            verify_contiguous(faulty, memory, region, 3, see=see)
        source = np.ones((4, region.row_bytes), np.uint8)
        slots = run_slots(runs, region.group.rows_per_block)
        faulty = Wrapped(backend, "append", a_bit_of_the_last_row_is_wrong)
        with pytest.raises(VerificationError, match="append"):
            verify_append(faulty, memory, region, slots, source, see=see)


def test_runs_that_are_not_looked_at_are_held_to_the_sum_of_the_parts(
    backend: CpuBackend, pool: Pool, small: Callable, placed: Callable
) -> None:
    """Reads of few runs are right here, and those of many are not: a grid that is cut short."""
    plan, _ = placed(small("gqa"), 90, 16)
    (region,) = map_regions(plan)
    runs = table_runs(fresh_tables(plan, [90, 17, 41], 0), region.group, 0)
    whole = page_plan(region, runs).nbytes

    def cut_short(backend: CpuBackend, memory: Any, plan: Any, variant: str) -> Any:
        result = backend.decode_read(memory, plan, variant)
        return Missed(result) if plan.nbytes == whole else result

    faulty: Any = Wrapped(backend, "decode_read", cut_short)
    with pytest.raises(VerificationError, match="decode_read"):
        verify_read(faulty, pool.memory, region, runs, see=SEEN["in_part"])


@pytest.mark.parametrize("see", SEEN.values(), ids=SEEN)
def test_rows_that_sequences_share_are_read_for_each_of_them(
    backend: CpuBackend, pool: Pool, small: Callable, placed: Callable, see: See
) -> None:
    plan, _ = placed(small("gqa"), 90, 16)
    (region,) = map_regions(plan)
    ids = tuple(np.array([7, 2, own], np.uint32) for own in (5, 3))
    runs = table_runs(Tables((40, 48), 0, (ids,)), region.group, 0)
    assert page_plan(region, runs).nbytes == (40 + 48) * region.row_bytes * 3
    verify_read(backend, pool.memory, region, runs, see=see)


class Torn:
    """A memory beside which something was written."""

    def guards_intact(self) -> bool:
        return False


def test_bytes_written_outside_a_memory_are_caught(pool: Pool) -> None:
    verify_guards({"the pool": pool.memory, "the host's memory": pool.host})
    with pytest.raises(VerificationError, match="outside the host's memory"):
        verify_guards({"the pool": pool.memory, "the host's memory": Torn()})  # type: ignore[dict-item]


def test_a_read_of_the_wrong_page_is_caught_after_ceilings_wrote_everywhere(
    backend: CpuBackend, pool: Pool, small: Callable, placed: Callable
) -> None:
    plan, _ = placed(small("gqa"), 90, 16)
    tables = fresh_tables(plan, [90, 17], 0)
    regions = map_regions(plan)
    backend.ceiling(pool.memory, "write", "", 0, pool.nbytes)
    others = table_runs(tables, regions[0].group, 0) + np.array([[8, 0, 0]], np.uint32)
    wrong = page_plan(regions[0], others)
    misled: Any = Wrapped(backend, "decode_read", lambda b, m, p, v: b.decode_read(m, wrong, v))
    bench = Workbench(misled, pool, seed=3)
    bench.refill(regions)
    jobs = table_jobs(bench, regions, tables, "aged")
    with pytest.raises(VerificationError, match="decode_read"):
        run_jobs(bench, regions, jobs, 1.0, lambda what, part: None)


@pytest.mark.parametrize("operation", ["append", "zero", "block_copy", "swap"])
def test_a_variant_that_does_nothing_is_caught_though_the_others_have_done_it(
    backend: CpuBackend, pool: Pool, small: Callable, placed: Callable, operation: str
) -> None:
    """The one that does nothing is the fastest, so it is the one that is chosen."""
    idle = backend.variants(operation)[-1]  # type: ignore[arg-type]

    def lazy(backend: CpuBackend, *arguments: Any) -> Any:
        *_, variant = arguments
        if variant == idle:
            return Pass(1e-9, 1000, 0.0, 0.0)
        return getattr(backend, operation)(*arguments)

    plan, _ = placed(small("gqa"), 90, 16)
    tables = fresh_tables(plan, [90, 17], 0)
    regions = map_regions(plan)
    bench = Workbench(Wrapped(backend, operation, lazy), pool, seed=3)  # type: ignore[arg-type]
    jobs = workload_jobs(bench, regions, tables)
    wanted = [job for job in jobs if job.op.startswith(operation)]
    assert wanted
    with pytest.raises(VerificationError, match=operation):
        run_jobs(bench, regions, wanted, 1.0, lambda what, part: None)


def test_a_swap_in_of_one_block_for_all_is_caught_though_a_ceiling_left_the_host_all_alike(
    backend: CpuBackend, pool: Pool, small: Callable, placed: Callable
) -> None:
    plan, _ = placed(small("gqa"), 90, 16)
    regions = map_regions(plan)
    page, layers = regions[0].part.page_bytes, len(regions[0].part.layers)

    def the_first(backend: CpuBackend, source: Any, target: Any, plan: Any, variant: str) -> Any:
        count = plan.nbytes // (page * layers)
        first = PagePlan(
            base_bytes=0,
            layer_stride_bytes=page,
            block_stride_bytes=page * layers,
            layers=layers,
            segments=[(0, page)],
            runs=np.array([[0, 0, 1]] * count, np.uint32),
        )
        places = shuffled_places(regions[0].blocks, 3)[:count]
        there = whole_blocks_plan(regions[0], places)
        return backend.swap(source, target, CopyPlan(first, there), variant)

    bench = Workbench(Wrapped(backend, "swap", the_first), pool, seed=3)  # type: ignore[arg-type]
    jobs = workload_jobs(bench, regions, fresh_tables(plan, [90, 17], 0))
    backend.ceiling(pool.host, "write", "", 0, pool.host.nbytes)
    (job,) = [job for job in jobs if job.op == "swap_in"]
    with pytest.raises(VerificationError, match="swap_in"):
        job.verify("")
