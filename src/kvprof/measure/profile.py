"""A model, an engine, a device and a workload in, a `ProfileResult` out."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from kvprof.errors import DoesNotFitError, UsageError
from kvprof.hookspecs import Engine
from kvprof.measure.ageing import AgedReads, read_aged
from kvprof.measure.block_tables import fresh_tables
from kvprof.measure.derived import capacity, decode_step, pool_balance
from kvprof.measure.facts import allocation_facts, device_facts, fragmentation_facts
from kvprof.measure.fit import fit
from kvprof.measure.fragmentation import Aged, age
from kvprof.measure.jobs import Job, Streamed, Workbench, run_jobs
from kvprof.measure.phases import phase
from kvprof.measure.pool import Progress
from kvprof.measure.regions import map_regions
from kvprof.measure.sparse import SparseRead, sparse_reads
from kvprof.measure.streams import workload_jobs
from kvprof.measure.traffic import Traffic
from kvprof.measure.warnings import left_out_of_the_step, warnings
from kvprof.model import Model
from kvprof.plan import AllocationPlan
from kvprof.profile_result import LengthFacts, OrderFacts, ProfileResult
from kvprof.size import Placement, Request, size_placement
from kvprof.units import format_bytes

_AGEING_SHARE = 0.3
"""Of the time budget, what the reads after ageing may take."""


class Settings(Struct, frozen=True, kw_only=True):
    """What a profile measures, apart from the model, the engine and the device.

    ``tokens`` and ``sequences`` may be None: as long, and as many, as the pool takes.
    ``operations`` names those to time; ``prefill`` says whether whole contexts are appended too.
    ``budget_seconds`` is for sampling; what it leaves no time for is named in the warnings.
    ``traffic`` ages the pool; None: chat that is drawn.
    """

    request: Request
    tokens: int | None
    sequences: int | None
    weights_bytes: int | None
    capacity_bytes: int
    operations: frozenset[str]
    prefill: bool
    budget_seconds: float
    traffic: Traffic | None = None

    def wants(self, job: Job) -> bool:
        """Whether a job is one of those to time."""
        return job.op in self.operations and (self.prefill or job.op != "append" or job.tokens == 1)


class Point(Struct, frozen=True):
    """One profile to make."""

    model: Model
    engine: Engine
    settings: Settings


def profile_points(
    bench: Workbench, points: Sequence[Point], progress: Progress
) -> tuple[list[ProfileResult], list[DoesNotFitError]]:
    """Profile one point after the other; those that the pool cannot hold are left out.

    Raises
    ------
    DoesNotFitError
        When the pool can hold none of them.
    """
    results: list[ProfileResult] = []
    left_out: list[DoesNotFitError] = []
    for point in points:
        try:
            results.append(
                profile_model(point.model, point.engine, bench, point.settings, progress)
            )
        except DoesNotFitError as error:
            left_out.append(error)
    if left_out and not results:
        raise left_out[0]
    return results, left_out


def profile_model(
    model: Model, engine: Engine, bench: Workbench, settings: Settings, progress: Progress
) -> ProfileResult:
    """Place the model in the pool, stream it, age it, and derive what follows.

    Raises
    ------
    UsageError
        When the engine places nothing, a dtype does not fit the model, or no operation applies.
    DoesNotFitError
        When the pool cannot hold what was asked for; the message says what it could.
    VerificationError
        When a stream moved the wrong bytes.
    """
    fitted = _fitted(model, engine, bench, settings)
    measured = _measured(fitted, bench, settings, progress)
    return _result(model, engine, bench, settings, fitted, measured)


class _Fitted(Struct, frozen=True):
    """The model as it is placed in the pool, and the request that this answers."""

    placement: Placement
    plan: AllocationPlan
    request: Request


class _Measured(Struct, frozen=True):
    """What was streamed from a fresh pool, where its bytes stood after traffic, and from there."""

    streamed: list[Streamed]
    dropped: list[str]
    aged: Aged
    reads: AgedReads


def _fitted(model: Model, engine: Engine, bench: Workbench, settings: Settings) -> _Fitted:
    lengths = settings.request.lengths
    longest = max((tokens for _, tokens in lengths), default=settings.tokens)
    placement, plan, sequences = fit(
        model, engine, bench.pool, settings.request, longest, 1 if lengths else settings.sequences
    )
    request = replace(
        settings.request,
        tokens=plan.limits.max_model_len,
        sequences=sum(count for count, _ in lengths) or sequences,
    )
    return _Fitted(placement, plan, request)


def _measured(
    fitted: _Fitted, bench: Workbench, settings: Settings, progress: Progress
) -> _Measured:
    placement, plan, request = fitted.placement, fitted.plan, fitted.request
    sparse = sparse_reads(placement.kept)
    streamed, dropped = _stream(bench, plan, sparse, request, settings, progress)
    progress("ageing the pool", 1.0)
    with phase("ageing the pool"):
        aged = age(placement, plan, bench.pool.nbytes, bench.seed, settings.traffic)
    reads = read_aged(
        bench, plan, sparse, aged, request, settings.operations, settings.budget_seconds, progress
    )
    return _Measured(streamed, dropped, aged, reads)


def _result(
    model: Model,
    engine: Engine,
    bench: Workbench,
    settings: Settings,
    fitted: _Fitted,
    measured: _Measured,
) -> ProfileResult:
    placement, plan, request = fitted.placement, fitted.plan, fitted.request
    aged, reads = measured.aged, measured.reads
    streams = [*measured.streamed, *reads.streamed]
    sized = size_placement(placement, engine.name, request)
    order = plan.limits.order
    return ProfileResult(
        **{name: getattr(sized, name) for name in sized.__struct_fields__ if name != "balance"},
        balance=pool_balance(model, engine, request, settings.capacity_bytes),
        lengths=tuple(LengthFacts(count, tokens) for count, tokens in request.batch),
        memory_order=OrderFacts(order.heads, order.kv, order.outer),
        device=device_facts(bench),
        allocation=allocation_facts(bench, plan),
        streams=tuple(stream.facts() for stream in streams),
        fragmentation=fragmentation_facts(aged, reads.against_fresh, settings.traffic),
        step=decode_step(
            placement.kept,
            request,
            measured.streamed,
            bench.ceilings.bytes_per_s,
            settings.weights_bytes,
            appends_read=bench.pool.own_memory,
        ),
        capacity=capacity(model, engine, settings.request, settings.capacity_bytes),
        capacity_memory_bytes=settings.capacity_bytes,
        warnings=(
            *warnings(bench, aged, streams, [*measured.dropped, *reads.dropped]),
            *left_out_of_the_step(settings.operations, placement.kept),
        ),
    )


def _stream(
    bench: Workbench,
    plan: AllocationPlan,
    sparse: Sequence[SparseRead],
    request: Request,
    settings: Settings,
    progress: Progress,
) -> tuple[list[Streamed], list[str]]:
    """The streams of a fresh pool that holds the batch."""
    regions = map_regions(plan)
    batch = [tokens for count, tokens in request.batch for _ in range(count)]
    try:
        tables = fresh_tables(plan, batch, request.encoder_tokens)
    except DoesNotFitError as error:
        raise DoesNotFitError(
            f"the pool of {format_bytes(bench.pool.nbytes)} cannot hold the {len(batch):,} "
            f"sequences of --lengths: {error.args[0]}",
            hint="Give a larger --stream-memory, or fewer or shorter sequences.",
        ) from None
    bench.take_placement(regions)
    jobs = workload_jobs(bench, regions, tables, sparse)
    wanted = [job for job in jobs if settings.wants(job)]
    if not wanted:
        raise UsageError(
            f"--operations is {', '.join(sorted(settings.operations))}, which this model has no "
            "cache for",
            hint=f"It has {', '.join(dict.fromkeys(job.op for job in jobs))}.",
        )
    return run_jobs(bench, regions, wanted, settings.budget_seconds * (1 - _AGEING_SHARE), progress)
