"""Block tables as traffic has left them in, the bandwidth of reading them out."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kvprof.measure.block_tables import Tables, dealt_tables, renumbered
from kvprof.measure.fragmentation import Aged
from kvprof.measure.jobs import Job, Streamed, Workbench, run_jobs
from kvprof.measure.passes import Pass, one_pass
from kvprof.measure.phases import phase
from kvprof.measure.pool import Progress
from kvprof.measure.regions import Region, map_regions
from kvprof.measure.sampler import Operation, Paired
from kvprof.measure.sparse import SparseRead
from kvprof.measure.streams import table_jobs
from kvprof.plan import AllocationPlan
from kvprof.size import Request

_LIVE_SHARE = 0.15
_SAME_SHARE = 0.15
"""Of the time budget: the live tables against fresh ones, the batch in aged blocks."""


class AgedReads(Struct, frozen=True):
    """The batch streamed from aged blocks, and live tables against fresh ones of their lengths."""

    streamed: list[Streamed]
    dropped: list[str]
    against_fresh: Paired | None


def read_aged(
    bench: Workbench,
    plan: AllocationPlan,
    sparse: Sequence[SparseRead],
    aged: Aged,
    request: Request,
    wanted: frozenset[str],
    budget_seconds: float,
    progress: Progress,
) -> AgedReads:
    """Read what traffic has left; then the batch itself, in the blocks that it has left free."""
    regions = map_regions(plan)
    bench.refill(regions)
    against_fresh = _against_fresh(bench, regions, aged.tables, budget_seconds * _LIVE_SHARE)
    batch = [tokens for count, tokens in request.batch for _ in range(count)]
    tables = dealt_tables(plan, aged.order, batch, request.encoder_tokens)
    every = table_jobs(bench, regions, tables, "aged", states=True, sparse=sparse)
    jobs = [job for job in every if job.op in wanted]
    streamed, dropped = run_jobs(bench, regions, jobs, budget_seconds * _SAME_SHARE, progress)
    return AgedReads(streamed, dropped, against_fresh)


def _against_fresh(
    bench: Workbench,
    regions: Sequence[Region],
    live: Tables,
    budget_seconds: float,
) -> Paired | None:
    """Live tables against fresh ones of the same lengths, read in turn; None where none is read.

    What sequences share is shared in both, and read once for each of them.
    """
    aged_jobs = table_jobs(bench, regions, live, "aged")
    fresh_jobs = table_jobs(bench, regions, renumbered(live), "fresh")
    if not aged_jobs:
        return None
    for job in (*aged_jobs, *fresh_jobs):
        job.verify(bench.choice_of(job).variant)
    flushed = bench.needs_flush([*aged_jobs, *fresh_jobs])

    def cold(jobs: Sequence[Job]) -> Operation:
        def run() -> Pass:
            if flushed:
                bench.ceilings.flush("read", "")
            return one_pass(job.run(bench.choice_of(job).variant) for job in jobs)

        return run

    with phase("sampling aged tables against fresh ones"):
        return bench.pair(cold(aged_jobs), cold(fresh_jobs), budget_seconds)
