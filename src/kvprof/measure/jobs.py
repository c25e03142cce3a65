"""Streams as jobs: their variants timed, the fastest verified, then sampled within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from kvprof.device.backend import Backend
from kvprof.layout import Once
from kvprof.measure.ceilings import STORES, Ceilings
from kvprof.measure.pool import Pool, Progress
from kvprof.measure.regions import Region
from kvprof.measure.sampler import CoreClock, Paired, Timed, sample_pair, summarise
from kvprof.measure.variants import bytes_per_s, fastest
from kvprof.profile_result import StreamFacts

_ROUNDS = 2
_QUICK_ROUNDS = 3
_QUICK_SECONDS = 0.005
_MORE_THAN_CACHES = 1.1
_CLEARLY = 1.02
"""A variant is taken over the usual winner when it is that much faster."""


class Job(Struct, frozen=True):
    """One stream to verify and to time; both are told by which variant.

    ``footprint_bytes`` are those that it goes over, ``run_bytes`` the longest stretch of
    neighbouring ones. Jobs of one ``kernel`` are run by the same variant.
    """

    op: str
    cache: str
    order: str
    sequences: int
    tokens: int
    run_bytes: int
    footprint_bytes: int
    ceiling: str
    kernel: str
    variants: Sequence[str]
    verify: Callable[[str], None]
    run: Callable[[str], Timed]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.op} of {self.cache}, {self.order}, {self.sequences} x {self.tokens} tokens"


class Streamed(Struct, frozen=True):
    """A job that was timed."""

    job: Job
    variant: str
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
            variant=self.variant,
            dropped=paired.dropped,
            disturbed=paired.disturbed,
        )


class Workbench:
    """What jobs run on: a device, a pool and its ceilings, and what was learnt of them.

    Parameters
    ----------
    seed
        Of the pool's bytes and of shuffled orders.
    """

    def __init__(self, backend: Backend, pool: Pool, ceilings: Ceilings, seed: int) -> None:
        self.backend = backend
        self.pool = pool
        self.ceilings = ceilings
        self.seed = seed
        self.clock = CoreClock()
        self._chosen: dict[str, str] = {}

    def refill(self, regions: Sequence[Region]) -> None:
        """Fill the pool with random bytes, and states with random floats.

        Streams leave zeros and copies in it, in which one page is as good as another: a read of the
        wrong page would go unnoticed.
        """
        memory = self.pool.memory
        self.backend.fill(memory, 0, self.pool.nbytes, self.seed)
        for region in regions:
            if isinstance(region.group.keep, Once) and region.blocks:
                start, end = region.extent
                self.backend.fill(memory, start, end - start, self.seed, finite=True)

    def forget_choices(self) -> None:
        """Choose variants anew: the next placement has pages of other sizes."""
        self._chosen.clear()

    def variant_of(self, job: Job) -> str:
        """The fastest variant of a job's kernel, timed on the first job that asks.

        Over bytes that the caches could hold, they are flushed before each pass.
        """
        if job.kernel not in self._chosen:
            self._chosen[job.kernel] = self._fastest(job)
        return self._chosen[job.kernel]

    def _fastest(self, job: Job) -> str:
        flush = self.flush_of([job])

        def cold(variant: str) -> Timed:
            flush()
            return job.run(variant)

        quick = cold(job.variants[0]).seconds < _QUICK_SECONDS
        rounds = _QUICK_ROUNDS if quick else _ROUNDS
        return fastest(bytes_per_s(cold, job.variants, rounds, self.clock), _CLEARLY)

    def flush_of(self, jobs: Sequence[Job]) -> Callable[[], object]:
        """What keeps the bytes of jobs out of the caches when they run again, one after another.

        Nothing is needed where they are read or updated and are more than the caches hold.
        """
        kind = jobs[0].ceiling
        size = sum(job.footprint_bytes for job in jobs)
        if kind in STORES or size <= self.backend.facts.last_level_cache_bytes * _MORE_THAN_CACHES:
            return lambda: self.ceilings.flush(kind)
        return lambda: None

    def sample(self, job: Job, variant: str, budget_seconds: float) -> Paired:
        """The job against its ceiling, which flushes the caches where it does not only store."""
        flush = self.flush_of([job]) if job.ceiling in STORES else lambda: None

        def cold() -> Timed:
            flush()
            return job.run(variant)

        return sample_pair(cold, self.ceilings.operation(job.ceiling), budget_seconds, self.clock)


def run_jobs(
    bench: Workbench,
    regions: Sequence[Region],
    jobs: Sequence[Job],
    budget_seconds: float,
    progress: Progress,
) -> tuple[list[Streamed], list[str]]:
    """Choose a variant for every job and verify it, then time each with an even share of the time.

    The pool's ``regions`` are filled anew before both. The budget is for sampling alone. Returns
    the timed jobs and the names of those that the budget did not cover.
    """
    variants = []
    bench.refill(regions)
    for done, job in enumerate(jobs):
        progress(f"verifying {job.op}", done / len(jobs))
        variants.append(bench.variant_of(job))
        job.verify(variants[-1])
    bench.refill(regions)
    deadline = time.perf_counter() + budget_seconds
    timed: list[Streamed] = []
    for done, (job, variant) in enumerate(zip(jobs, variants, strict=True)):
        progress(job.name, done / len(jobs))
        left = deadline - time.perf_counter()
        if left <= 0:
            return timed, [job.name for job in jobs[done:]]
        paired = bench.sample(job, variant, left / (len(jobs) - done))
        timed.append(Streamed(job, variant, paired))
    return timed, []
