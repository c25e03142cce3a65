"""The stream operations that a decode step and a prefill are made of, as jobs of a placement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kvprof.layout import Once
from kvprof.measure.appends import append_jobs
from kvprof.measure.block_tables import Tables
from kvprof.measure.jobs import Job, Workbench
from kvprof.measure.moves import move_jobs
from kvprof.measure.passes import one_pass
from kvprof.measure.regions import Region
from kvprof.measure.sampler import Timed
from kvprof.measure.sparse import SparseRead, sparse_jobs
from kvprof.measure.tables import (
    Runs,
    Shape,
    contiguous_plan,
    page_plan,
    shuffled,
    table_runs,
)
from kvprof.measure.updates import update_part, update_plans
from kvprof.measure.verify import verify_contiguous, verify_read, verify_update

_VERIFIED_STATE_BYTES = 64 * 2**20


def workload_jobs(
    bench: Workbench,
    regions: Sequence[Region],
    tables: Tables,
    sparse: Sequence[SparseRead] = (),
) -> list[Job]:
    """Every stream of the live sequences of a fresh pool, the most telling ones first."""
    kinds = [list(_region_jobs(bench, region, tables)) for region in regions]
    kinds.append(list(sparse_jobs(bench, regions, sparse, tables, ("shuffled", "fresh"))))
    longest = max(len(jobs) for jobs in kinds)
    return [jobs[i] for i in range(longest) for jobs in kinds if i < len(jobs)]


def table_jobs(
    bench: Workbench,
    regions: Sequence[Region],
    tables: Tables,
    order: str,
    *,
    states: bool = False,
    sparse: Sequence[SparseRead] = (),
) -> list[Job]:
    """The reads, and the updates of states where wanted, of live sequences as their tables lie."""
    shape = Shape.of(tables)
    jobs = []
    for region in regions:
        runs = table_runs(tables, region.group, region.group_index)
        if len(runs) and not isinstance(region.group.keep, Once):
            jobs.append(_read_job(bench, region, runs, order, shape))
        elif len(runs) and states:
            jobs.append(_update_job(bench, region, runs, order, shape))
    return jobs + list(sparse_jobs(bench, regions, sparse, tables, (order,)))


def _region_jobs(bench: Workbench, region: Region, tables: Tables) -> Iterator[Job]:
    runs = table_runs(tables, region.group, region.group_index)
    if not len(runs):
        return
    shape = Shape.of(tables)
    mixed = shuffled(runs, region.blocks, bench.seed)
    # Shuffled first: the variant that it chooses is the one for scattered pages.
    if isinstance(region.group.keep, Once):
        yield _update_job(bench, region, mixed, "shuffled", shape)
        yield _update_job(bench, region, runs, "fresh", shape)
    else:
        yield _read_job(bench, region, mixed, "shuffled", shape)
        yield _read_job(bench, region, runs, "fresh", shape)
        yield _contiguous_job(bench, region, runs, shape)
        yield from append_jobs(bench, region, runs, tables, shape)
    yield from move_jobs(bench, region, runs, shape.tokens)


def _read_job(bench: Workbench, region: Region, runs: Runs, order: str, shape: Shape) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    plan = page_plan(region, runs)
    return Job(
        op="decode_read",
        cache=region.part.cache.key,
        order=order,
        sequences=shape.sequences,
        tokens=shape.tokens,
        run_bytes=_longest_run(region, runs),
        footprint_bytes=plan.nbytes,
        ceiling="read",
        kernel=f"read {region.part.cache.key}",
        variants=backend.variants("decode_read"),
        verify=lambda variant: verify_read(backend, memory, region, runs, variant),
        run=lambda variant: backend.decode_read(memory, plan, variant),
    )


def _contiguous_job(bench: Workbench, region: Region, runs: Runs, shape: Shape) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    rows = int(runs[:, 2].sum(dtype=np.int64))
    plan = contiguous_plan(region, rows)
    return Job(
        op="decode_read",
        cache=region.part.cache.key,
        order="contiguous",
        sequences=shape.sequences,
        tokens=shape.tokens,
        run_bytes=rows * region.row_bytes,
        footprint_bytes=plan.nbytes,
        ceiling="read",
        kernel=f"contiguous {region.part.cache.key}",
        variants=backend.variants("decode_read"),
        verify=lambda variant: verify_contiguous(backend, memory, region, rows, variant),
        run=lambda variant: backend.decode_read(memory, plan, variant),
    )


def _longest_run(region: Region, runs: Runs) -> int:
    """Neighbouring bytes of the longest run: a whole page is one, of whatever segments."""
    rows = int(runs[:, 2].max())
    if rows == region.group.rows_per_block:
        return rows * region.row_bytes
    return rows * max(segment.row_bytes for segment in region.part.segments)


def _update_job(bench: Workbench, region: Region, runs: Runs, order: str, shape: Shape) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    state_bytes = region.row_bytes * len(region.part.layers)
    checked = runs[: max(1, _VERIFIED_STATE_BYTES // state_bytes)]

    parts = list(zip(region.part.segments, update_plans(region, runs), strict=True))

    def run(variant: str) -> Timed:
        return one_pass(
            update_part(backend, memory, segment, plan, variant) for segment, plan in parts
        )

    return Job(
        op="state_update",
        cache=region.part.cache.key,
        order=order,
        sequences=shape.sequences,
        tokens=shape.tokens,
        run_bytes=max(segment.row_bytes for segment in region.part.segments),
        footprint_bytes=state_bytes * len(runs),
        ceiling="rmw",
        kernel=f"update {region.part.cache.key}",
        variants=backend.variants("state_update"),
        verify=lambda variant: verify_update(backend, memory, region, checked, variant),
        run=run,
    )
