"""A model, an engine, a device and a workload in, a `ProfileResult` out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from kvprof.accounting import cache_groups
from kvprof.device.backend import Backend
from kvprof.hookspecs import Engine
from kvprof.measure.allocation import block_ops_per_s, python_call_seconds
from kvprof.measure.ceilings import Ceilings
from kvprof.measure.derived import capacity, decode_step
from kvprof.measure.fit import fit
from kvprof.measure.fragmentation import Aged, age
from kvprof.measure.pool import CACHES_OVER, FLUSH_OVER, Pool, Region, map_regions
from kvprof.measure.sampler import Operation, Paired, sample_pair
from kvprof.measure.streams import Job, Streamed, Workbench, read_jobs, run_jobs, workload_jobs
from kvprof.measure.tables import admit_all
from kvprof.model import Model
from kvprof.plan import AllocationPlan
from kvprof.result import AllocationResult, DeviceResult, FragmentationResult, ProfileResult
from kvprof.size import Request, size_placement
from kvprof.units import format_bytes

_AGEING_SHARE = 0.3
"""Of the time budget, what ageing and its reads may take."""

Progress = Callable[[str, float], None]


class Settings(Struct, frozen=True, kw_only=True):
    """What a profile measures, apart from the model, the engine and the device.

    ``tokens`` and ``sequences`` may be None: as long, and as many, as the pool takes. ``deadline``
    is a reading of `time.perf_counter`; what it leaves no time for is named in the warnings.
    """

    request: Request
    tokens: int | None
    sequences: int | None
    weights_bytes: int | None
    capacity_bytes: int
    deadline: float
    seed: int


def profile_model(
    model: Model,
    engine: Engine,
    backend: Backend,
    pool: Pool,
    settings: Settings,
    progress: Progress,
) -> ProfileResult:
    """Place the model in the pool, stream it, age it, and derive what follows.

    Raises
    ------
    UsageError
        When the engine places nothing, or a dtype does not fit the model.
    DeviceError
        When the pool cannot hold what was asked for; the message says what it could.
    VerificationError
        When a stream moved the wrong bytes.
    """
    deadline = settings.deadline
    reserve = max(0.0, deadline - time.perf_counter()) * _AGEING_SHARE
    placement, plan, sequences = fit(
        model, engine, pool, settings.request, settings.tokens, settings.sequences
    )
    tokens = plan.limits.max_model_len
    request = replace(settings.request, tokens=tokens, sequences=sequences)
    regions = map_regions(plan)
    bench = Workbench(backend, pool, Ceilings(backend, pool), settings.seed)
    allocator = admit_all(plan, [tokens] * sequences, request.encoder_tokens)
    jobs = workload_jobs(bench, regions, allocator, tokens, request.encoder_tokens)
    streamed, dropped = run_jobs(bench, jobs, deadline - reserve, progress)

    progress("ageing the pool", 1.0)
    aged = age(plan, cache_groups(placement.layout), pool.nbytes, settings.seed)
    aged_jobs = read_jobs(bench, regions, aged.allocator, "aged", request.encoder_tokens)
    after, aged_dropped = run_jobs(bench, aged_jobs, deadline - reserve / 2, progress)
    against_fresh = _aged_against_fresh(bench, plan, regions, aged, aged_jobs, deadline)

    streams = [*streamed, *after]
    sized = size_placement(placement, engine.name, request)
    return ProfileResult(
        **{name: getattr(sized, name) for name in sized.__struct_fields__},
        device=_device(backend, bench.ceilings),
        allocation=_allocation(pool, plan),
        streams=tuple(stream.facts() for stream in streams),
        fragmentation=_fragmentation(aged, against_fresh),
        step=decode_step(
            placement.layout,
            request,
            sequences,
            streamed,
            bench.ceilings.bytes_per_s,
            settings.weights_bytes,
        ),
        capacity=capacity(model, engine, settings.request, settings.capacity_bytes),
        capacity_memory_bytes=settings.capacity_bytes,
        warnings=tuple(
            _warnings(bench, len(aged.allocator.sequences), streams, [*dropped, *aged_dropped])
        ),
    )


def _aged_against_fresh(
    bench: Workbench,
    plan: AllocationPlan,
    regions: Sequence[Region],
    aged: Aged,
    aged_jobs: Sequence[Job],
    deadline: float,
) -> Paired | None:
    """Aged tables against fresh ones of the same lengths, read in turn; None without time."""
    if not aged_jobs:
        return None
    lengths = [aged.allocator.tokens(int(sequence)) for sequence in aged.allocator.sequences]
    fresh = admit_all(plan, lengths, plan.limits.encoder_tokens)
    fresh_jobs = read_jobs(bench, regions, fresh, "fresh", plan.limits.encoder_tokens)
    left = deadline - time.perf_counter()
    if left <= 0:
        return None
    return sample_pair(
        _one_after_another(aged_jobs), _one_after_another(fresh_jobs), bench.ceilings.flush, left
    )


class _Pass(Struct, frozen=True):
    """Several reads as one sample."""

    seconds: float
    nbytes: int


def _one_after_another(jobs: Sequence[Job]) -> Operation:
    def run() -> _Pass:
        results = [job.operation() for job in jobs]
        return _Pass(sum(r.seconds for r in results), sum(r.nbytes for r in results))

    return run


def _device(backend: Backend, ceilings: Ceilings) -> DeviceResult:
    facts = backend.facts
    return DeviceResult(
        name=facts.name,
        backend=facts.backend,
        ceilings=ceilings.bytes_per_s,
        bus_peak_bytes_per_s=facts.bus_peak_bytes_per_s,
        ceiling_variants=ceilings.variants,
        threads=facts.compute_units,
        instruction_set=facts.instruction_set,
        last_level_cache_bytes=facts.last_level_cache_bytes,
    )


def _allocation(pool: Pool, plan: AllocationPlan) -> AllocationResult:
    return AllocationResult(
        policy=pool.memory.policy,
        huge_page_bytes=pool.huge_page_bytes,
        pool_bytes=pool.nbytes,
        flush_bytes=pool.flush_bytes,
        blocks=plan.num_blocks or 0,
        seconds=pool.seconds,
        touch_seconds=pool.touch_seconds,
        block_ops_per_s=block_ops_per_s(),
        python_call_seconds=python_call_seconds(),
    )


def _fragmentation(aged: Aged, against_fresh: Paired | None) -> FragmentationResult:
    batching = aged.batching
    return FragmentationResult(
        bytes=aged.bytes,
        waste=aged.waste,
        pool=aged.pool,
        aged_read_ratio=against_fresh.ratio if against_fresh else None,
        aged_read_noisy=against_fresh.noisy if against_fresh else None,
        requests={
            "live": len(aged.allocator.sequences),
            "completed": batching.completed,
            "rejected": batching.rejected,
            "preemptions": batching.preemptions,
            "waiting": batching.waiting,
            "steps": batching.steps,
        },
    )


def _warnings(
    bench: Workbench, aged_sequences: int, streams: Sequence[Streamed], dropped: Sequence[str]
) -> Iterator[str]:
    least = (CACHES_OVER + FLUSH_OVER) * bench.backend.facts.last_level_cache_bytes
    if bench.pool.nbytes + bench.pool.flush_bytes < least:
        yield (
            f"the memory streamed is less than {format_bytes(least)}, {CACHES_OVER + FLUSH_OVER} "
            "times the last-level cache: caches may have served a part of it; give a larger "
            "--stream-memory"
        )
    if not aged_sequences:
        yield (
            "no request was live when the traffic stopped: the pool is too small for it to tell "
            "fragmentation; give a larger --stream-memory or fewer --tokens"
        )
    noisy = sum(stream.paired.noisy for stream in streams)
    if noisy:
        yield (
            f"{noisy} of {len(streams)} streams are noisy: their ceiling differed from itself by "
            "more than 5 %; compare ratios, not bandwidths, or run again on a quieter machine"
        )
    # A decode append is small by its nature; its ratio is low, not high.
    writes = [s.job for s in streams if s.job.ceiling == "rmw" or s.job.tokens > 1]
    small = [j.name for j in writes if j.ceiling != "read" and bench.fits_in_caches(j)]
    if small:
        yield (
            "what these wrote may partly be in a cache when the clock stops, so that their ratio "
            f"can exceed 100 %: {'; '.join(small)}"
        )
    if dropped:
        yield (
            f"not measured within --time-budget: {'; '.join(dropped)}; where the decode step needs "
            "one of them it takes its ceiling"
        )
