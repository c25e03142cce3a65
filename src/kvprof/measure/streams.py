"""The stream operations of a placement as jobs: verified first, then sampled within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

import numpy as np
from msgspec import Struct

from kvprof._core import CacheAllocator
from kvprof.device.backend import Backend
from kvprof.layout import Once
from kvprof.measure.ceilings import Ceilings
from kvprof.measure.pool import CACHES_OVER, Pool, Region
from kvprof.measure.sampler import Operation, Paired, Timed, sample_pair, summarise
from kvprof.measure.tables import (
    Runs,
    contiguous,
    page_plan,
    run_slots,
    shuffled,
    slot_plan,
    table_runs,
)
from kvprof.measure.verify import ADDEND, verify_append, verify_read, verify_update
from kvprof.result import StreamFacts

_SOURCE_BYTES = 256 * 1024
"""Rows to append come from a buffer that stays in cache, as if just computed."""
_DECODE_STEPS = 8


class Job(Struct, frozen=True):
    """One stream to verify and to time."""

    op: str
    cache: str
    order: str
    sequences: int
    tokens: int
    run_bytes: int
    footprint_bytes: int
    ceiling: str
    verify: Callable[[], None]
    operation: Operation

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.op} of {self.cache}, {self.order}, {self.sequences} x {self.tokens} tokens"


class Streamed(Struct, frozen=True):
    """A job that was timed."""

    job: Job
    paired: Paired

    def facts(self) -> StreamFacts:
        """What a result says of it."""
        job, paired = self.job, self.paired
        return StreamFacts(
            op=job.op,
            cache=job.cache,
            order=job.order,
            sequences=job.sequences,
            tokens=job.tokens,
            run_bytes=job.run_bytes,
            bytes=paired.nbytes,
            seconds=summarise(paired.seconds),
            bytes_per_s=paired.bytes_per_s,
            ceiling=job.ceiling,
            ceiling_bytes_per_s=paired.ceiling_bytes_per_s,
            ceiling_seconds=paired.ceiling_seconds,
            ratio_to_ceiling=paired.ratio,
            noisy=paired.noisy,
        )


class Workbench(Struct, frozen=True):
    """What jobs run on."""

    backend: Backend
    pool: Pool
    ceilings: Ceilings
    seed: int

    def fits_in_caches(self, job: Job) -> bool:
        """Whether a job's bytes are so few that caches could serve a part of them."""
        caches = self.backend.facts.last_level_cache_bytes
        return job.footprint_bytes < CACHES_OVER * caches


def workload_jobs(
    bench: Workbench,
    regions: Sequence[Region],
    allocator: CacheAllocator,
    tokens: int,
    encoder_tokens: int,
) -> list[Job]:
    """Every stream of the live sequences of ``tokens`` tokens, the most telling ones first."""
    per_region = [
        list(_region_jobs(bench, region, allocator, tokens, encoder_tokens)) for region in regions
    ]
    longest = max((len(jobs) for jobs in per_region), default=0)
    return [jobs[i] for i in range(longest) for jobs in per_region if i < len(jobs)]


def read_jobs(
    bench: Workbench,
    regions: Sequence[Region],
    allocator: CacheAllocator,
    order: str,
    encoder_tokens: int,
) -> list[Job]:
    """The reads of all live sequences, whatever their lengths, as their tables lie."""
    lengths = [allocator.tokens(int(s)) for s in allocator.sequences]
    mean = round(sum(lengths) / len(lengths)) if lengths else 0
    jobs = []
    for region in regions:
        runs = table_runs(allocator, region.group, region.group_index, encoder_tokens)
        if len(runs) and not isinstance(region.group.keep, Once):
            jobs.append(_read_job(bench, region, runs, order, len(lengths), mean))
    return jobs


def run_jobs(
    bench: Workbench, jobs: Sequence[Job], deadline: float, progress: Callable[[str, float], None]
) -> tuple[list[Streamed], list[str]]:
    """Verify every job, then time each with an even share of the time left.

    Returns the timed jobs and a description of each that the budget did not cover.
    """
    # Ceilings write one pattern over the pool, in which one page is as good as another: a read of
    # the wrong page would go unnoticed.
    bench.backend.fill(bench.pool.memory, 0, bench.pool.nbytes, bench.seed)
    for done, job in enumerate(jobs):
        progress("verifying", done / len(jobs))
        job.verify()
    timed: list[Streamed] = []
    for done, job in enumerate(jobs):
        progress(job.name, done / len(jobs))
        left = deadline - time.perf_counter()
        if left <= 0:
            return timed, [job.name for job in jobs[done:]]
        timed.append(Streamed(job, _sample(bench, job, left / (len(jobs) - done))))
    return timed, []


def _sample(bench: Workbench, job: Job, budget_seconds: float) -> Paired:
    return sample_pair(
        job.operation,
        bench.ceilings.operation(job.ceiling, job.footprint_bytes),
        bench.ceilings.flush if bench.fits_in_caches(job) else _no_flush,
        budget_seconds,
    )


def _no_flush() -> None:
    """A working set of five caches flushes itself."""


def _region_jobs(
    bench: Workbench,
    region: Region,
    allocator: CacheAllocator,
    tokens: int,
    encoder_tokens: int,
) -> Iterator[Job]:
    runs = table_runs(allocator, region.group, region.group_index, encoder_tokens)
    if not len(runs):
        return
    sequences = len(allocator.sequences)
    mixed = shuffled(runs, region.group.num_blocks or 0, bench.seed)
    if isinstance(region.group.keep, Once):
        yield _update_job(bench, region, runs, "fresh", sequences, tokens)
        yield _update_job(bench, region, mixed, "shuffled", sequences, tokens)
        return
    yield _read_job(bench, region, runs, "fresh", sequences, tokens)
    yield _read_job(bench, region, mixed, "shuffled", sequences, tokens)
    for appended in dict.fromkeys((tokens, 1)):
        yield _append_job(bench, region, runs, "fresh", sequences, tokens, appended)
        yield _append_job(bench, region, mixed, "shuffled", sequences, tokens, appended)
    if region.is_dense:
        yield _read_job(bench, region, contiguous(runs), "contiguous", sequences, tokens)


def _read_job(
    bench: Workbench, region: Region, runs: Runs, order: str, sequences: int, tokens: int
) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    plan = page_plan(region, runs)
    longest = int(runs[:, 2].max()) * sum(s.row_bytes for s in region.part.segments)
    return Job(
        "decode_read",
        region.part.cache.key,
        order,
        sequences,
        tokens,
        longest,
        plan.nbytes,
        "read",
        lambda: verify_read(backend, memory, region, runs),
        lambda: backend.decode_read(memory, plan),
    )


def _update_job(
    bench: Workbench, region: Region, runs: Runs, order: str, sequences: int, tokens: int
) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    plan = page_plan(region, runs)
    return Job(
        "state_update",
        region.part.cache.key,
        order,
        sequences,
        tokens,
        region.part.page_bytes,
        plan.nbytes,
        "rmw",
        lambda: verify_update(backend, memory, region, runs),
        lambda: backend.state_update(memory, plan, addend=ADDEND),
    )


def _append_job(
    bench: Workbench,
    region: Region,
    runs: Runs,
    order: str,
    sequences: int,
    tokens: int,
    appended: int,
) -> Job:
    """Prefill writes all rows of every sequence; decode one row of each, a new one each step."""
    backend, memory = bench.backend, bench.pool.memory
    slots = run_slots(runs, region.group.rows_per_block)
    row_bytes = sum(segment.row_bytes for segment in region.part.segments)
    rows = max(1, min(len(slots), _SOURCE_BYTES // row_bytes))
    source = np.random.default_rng(bench.seed).integers(0, 256, (rows, row_bytes), np.uint8)
    if appended < tokens:
        per_sequence = len(slots) // sequences
        ends = np.arange(1, sequences + 1) * per_sequence - 1
        steps = [slots[ends - step] for step in range(min(_DECODE_STEPS, per_sequence))]
    else:
        steps = [slots]
    plans = [slot_plan(region, step) for step in steps]
    in_turn = cycle(plans)

    def verify() -> None:
        for step in steps:
            verify_append(backend, memory, region, step, source)

    def append() -> Timed:
        source.max()  # brought back into the cache that a flush has emptied
        return backend.append(memory, next(in_turn), source)

    return Job(
        "append",
        region.part.cache.key,
        order,
        sequences,
        appended,
        row_bytes,
        plans[0].nbytes,
        "write",
        verify,
        append,
    )
