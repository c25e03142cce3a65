"""Streams as jobs: their variants timed, the fastest verified, then sampled within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from kvprof._core import Backend
from kvprof.layout import Once
from kvprof.measure.ceilings import STORES, Ceilings, Kind
from kvprof.measure.effort import THOROUGH, Effort
from kvprof.measure.phases import phase
from kvprof.measure.pool import Pool, Progress
from kvprof.measure.pool_sizes import CACHES_OVER
from kvprof.measure.regions import Region
from kvprof.measure.sampler import (
    CoreClock,
    Operation,
    Paired,
    Timed,
    sample_once,
    sample_pair,
    summarise,
)
from kvprof.measure.variants import bytes_per_s, fastest
from kvprof.measure.verify import verify_guards
from kvprof.profile_result import StreamFacts

_CLEARLY = 1.02
"""A variant is taken over the usual winner when it is that much faster."""


class Job(Struct, frozen=True):
    """One stream to verify and to time; both are told by which variant.

    ``footprint_bytes`` are those that it goes over, ``run_bytes`` the longest stretch of
    neighbouring ones. Jobs of one ``kernel`` are run by the same variant. ``index`` is the cache
    that a sparse read streams beside the rows of its own.
    """

    op: str
    cache: str
    order: str
    sequences: int
    tokens: int
    run_bytes: int
    footprint_bytes: int
    ceiling: Kind
    kernel: str
    variants: Sequence[str]
    verify: Callable[[str], None]
    run: Callable[[str], Timed]
    index: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.op} of {self.cache}, {self.order}, {self.sequences} x {self.tokens} tokens"


class Choice(Struct, frozen=True):
    """The variant to run, and the best pass of each that was tried to choose it."""

    variant: str
    bytes_per_s: dict[str, float]


class Streamed(Struct, frozen=True):
    """A job that was timed."""

    job: Job
    choice: Choice
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
            variant=self.choice.variant,
            variants=self.choice.bytes_per_s,
            dropped=paired.dropped,
            disturbed=paired.disturbed,
        )


class Workbench:
    """What jobs run on: a device, a pool and its ceilings, and what was learnt of them.

    Parameters
    ----------
    seed
        Of the pool's bytes and of shuffled orders.
    effort
        What is spent on a figure.
    """

    def __init__(self, backend: Backend, pool: Pool, seed: int, effort: Effort = THOROUGH) -> None:
        self.backend = backend
        self.pool = pool
        self.seed = seed
        self.effort = effort
        self.clock = CoreClock()
        self.ceilings = Ceilings(backend, pool, self.clock, effort)
        self._chosen: dict[str, Choice] = {}

    def refill(self, regions: Sequence[Region]) -> None:
        """Fill the pool with random bytes, and states with random floats.

        Streams leave zeros and copies in it, in which one page is as good as another: a read of the
        wrong page would go unnoticed.
        """
        memory = self.pool.memory
        with phase("filling the pool", self.pool.nbytes):
            self.backend.fill(memory, 0, self.pool.nbytes, self.seed)
            for region in regions:
                if isinstance(region.group.keep, Once) and region.blocks:
                    start, end = region.extent
                    self.backend.fill(memory, start, end - start, self.seed, finite=True)

    def take_placement(self, regions: Sequence[Region]) -> None:
        """Choose variants and rows to append anew: these pages may have other sizes."""
        self._chosen.clear()
        if self.pool.own_memory:
            growing = [region for region in regions if not isinstance(region.group.keep, Once)]
            self.pool.sources.hold({region.row_bytes for region in growing})

    def choice_of(self, job: Job) -> Choice:
        """The fastest variant of a job's kernel, timed on the first job that asks.

        Caches that could hold a part of its bytes are flushed before each pass.
        """
        if not self.effort.rounds:
            return Choice(job.variants[0], {})
        if job.kernel not in self._chosen:
            with phase(f"choosing the variant of {job.op}", job.footprint_bytes):
                self._chosen[job.kernel] = self._fastest(job)
        return self._chosen[job.kernel]

    def _fastest(self, job: Job) -> Choice:
        rates = bytes_per_s(
            lambda variant: self._cold(job, variant), job.variants, self.effort.rounds, self.clock
        )
        best = {variant: passes[0] for variant, passes in rates.items()}
        return Choice(fastest(rates, _CLEARLY), best)

    def needs_flush(self, jobs: Sequence[Job]) -> bool:
        """Whether caches could hold a part of what one of the jobs goes over again.

        What only stores always does: what it writes may stay in a cache.
        """
        least = CACHES_OVER * self.backend.facts.last_level_cache_bytes
        return any(job.ceiling in STORES or job.footprint_bytes < least for job in jobs)

    def _cold(self, job: Job, variant: str) -> Timed:
        if self.needs_flush([job]):
            self.ceilings.flush(job.ceiling, variant)
        return job.run(variant)

    def sample(self, job: Job, variant: str, budget_seconds: float) -> Paired:
        """The job against its ceiling, which flushes the caches where it does not only store."""
        ceiling = self.ceilings.operation(job.ceiling, variant)

        def run() -> Timed:
            return self._cold(job, variant) if job.ceiling in STORES else job.run(variant)

        with phase(f"sampling {job.name}", job.footprint_bytes):
            return self.pair(run, ceiling, budget_seconds)

    def pair(self, operation: Operation, ceiling: Operation, budget_seconds: float) -> Paired:
        """The samples of two operations in turn, or one of each."""
        if not self.effort.measures:
            return sample_once(operation, ceiling, self.clock)
        samples = self.effort.samples
        return sample_pair(operation, ceiling, budget_seconds, self.clock, samples)


def run_jobs(
    bench: Workbench,
    regions: Sequence[Region],
    jobs: Sequence[Job],
    budget_seconds: float,
    progress: Progress,
) -> tuple[list[Streamed], list[str]]:
    """Choose a variant for every job and verify it, then time each with an even share of the time.

    The pool's ``regions`` are filled anew before they are verified and before they are timed; none
    may have written outside its memory. The budget is for sampling alone. Returns the timed jobs
    and the names of those that the budget did not cover.
    """
    progress("choosing variants", 0.0)
    choices = [bench.choice_of(job) for job in jobs]
    bench.refill(regions)  # or a variant that does nothing would find what another one has done
    for done, (job, choice) in enumerate(zip(jobs, choices, strict=True)):
        progress(f"verifying {job.op}", done / len(jobs))
        with phase(f"verifying {job.op}", job.footprint_bytes):
            job.verify(choice.variant)
    verify_guards(bench.pool.memories)
    bench.refill(regions)
    deadline = time.perf_counter() + budget_seconds
    timed: list[Streamed] = []
    for done, (job, choice) in enumerate(zip(jobs, choices, strict=True)):
        progress(job.name, done / len(jobs))
        left = deadline - time.perf_counter()
        if left <= 0 and bench.effort.measures:
            return timed, [job.name for job in jobs[done:]]
        paired = bench.sample(job, choice.variant, left / (len(jobs) - done))
        timed.append(Streamed(job, choice, paired))
    return timed, []
