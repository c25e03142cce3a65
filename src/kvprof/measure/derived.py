"""What follows from the measured bandwidths: a decode step's time, and how many sequences fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from kvprof.accounting import Traffic, step_traffic
from kvprof.balance import CONTEXTS, balance_points
from kvprof.hookspecs import Engine
from kvprof.layout import CacheLayout, Mode
from kvprof.measure.jobs import Streamed
from kvprof.measure.sparse import sparse_reads
from kvprof.model import Model
from kvprof.profile_result import CapacityPoint, StepResult
from kvprof.result import BalancePoint
from kvprof.size import Request, place

_CEILING_OF = {Mode.READ: "read", Mode.APPEND: "write", Mode.RMW: "rmw"}


def step_streams(
    layout: CacheLayout, tokens: int, encoder_tokens: int = 0
) -> tuple[tuple[Traffic, tuple[str, ...]], ...]:
    """A step's traffic, each with the operations that time it, the best first.

    Rows that are chosen, and the index that they are chosen by, are timed together.
    """
    indices = {read.index.key for read in sparse_reads(layout) if read.index}

    def operations(traffic: Traffic) -> tuple[str, ...]:
        if traffic.mode is not Mode.READ:
            return ("append",) if traffic.mode is Mode.APPEND else ("state_update",)
        if traffic.sparse:
            return ("sparse_read",)
        together = ("sparse_read",) if traffic.cache in indices else ()
        return (*together, "decode_read")

    found = step_traffic(layout, tokens, encoder_tokens)
    return tuple((traffic, operations(traffic)) for traffic in found)


def decode_step(
    layout: CacheLayout,
    request: Request,
    streamed: Sequence[Streamed],
    ceilings: Mapping[str, float],
    weights_bytes: int | None,
    *,
    appends_read: bool = False,
) -> StepResult:
    """One decode step of all sequences: its bytes, and their time at the bandwidths measured.

    Each cache's traffic runs at the bandwidth of its own stream (fresh tables; one row appended
    per sequence; chosen rows and their index as they were read together), at the ceiling of its
    direction where that was not timed, and the weights at the read ceiling. The parts run one
    after the other, as the layers of a model do. ``appends_read`` says that an append streams its
    rows from the device's memory: it is timed as a copy, each byte read and written.
    """
    read = written = 0
    seconds = 0.0
    for sequences, tokens in request.batch:
        for traffic, operations in step_streams(layout, tokens, request.encoder_tokens):
            ceiling, counted = _CEILING_OF[traffic.mode], 1
            if appends_read and traffic.mode is Mode.APPEND:
                ceiling, counted = "copy", 2
            moved = (traffic.bytes_read + traffic.bytes_written) * sequences * counted
            read += traffic.bytes_read * sequences
            written += traffic.bytes_written * sequences
            rates = (_rate(streamed, operation, traffic.cache) for operation in operations)
            seconds += moved / next(filter(None, rates), ceilings[ceiling])
    if weights_bytes is not None:
        seconds += weights_bytes / ceilings["read"]
    return StepResult(
        bytes_read=read,
        bytes_written=written,
        weights_bytes=weights_bytes,
        seconds=seconds,
        tokens_per_s=sum(n for n, _ in request.batch) / seconds if seconds else 0.0,
        cache_only=weights_bytes is None,
    )


def _rate(streamed: Sequence[Streamed], operation: str, cache: str) -> float | None:
    for stream in streamed:
        job = stream.job
        of_a_step = job.order == "fresh" and (operation != "append" or job.tokens == 1)
        if job.op == operation and cache in (job.cache, job.index) and of_a_step:
            return stream.paired.bytes_per_s
    return None


def capacity(
    model: Model, engine: Engine, request: Request, memory_bytes: int
) -> tuple[CapacityPoint, ...]:
    """Sequences of each context that fit in the memory as the engine divides it for them."""
    points = []
    for tokens in CONTEXTS:
        wanted = replace(request, tokens=tokens, max_model_len=tokens, memory_bytes=memory_bytes)
        plan = place(model, engine, wanted).plan
        fitting = plan.concurrency if plan else None
        points.append(CapacityPoint(tokens, int(fitting or 0)))
    return tuple(points)


def pool_balance(
    model: Model, engine: Engine, request: Request, memory_bytes: int
) -> tuple[BalancePoint, ...]:
    """Which pool is full first, and how full so many sequences make each, at other contexts.

    The pools are divided for sequences of ``request.tokens``.
    """
    wanted = replace(request, max_model_len=request.tokens, memory_bytes=memory_bytes)
    plan = place(model, engine, wanted).plan
    contexts = sorted({*CONTEXTS, request.tokens})
    return balance_points(plan, contexts, (request.sequences,)) if plan else ()
