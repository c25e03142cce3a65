"""What follows from the measured bandwidths: a decode step's time, and how many sequences fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from kvprof.accounting import step_traffic
from kvprof.balance import CONTEXTS, balance_points
from kvprof.hookspecs import Engine
from kvprof.layout import CacheLayout, Mode
from kvprof.measure.jobs import Streamed
from kvprof.model import Model
from kvprof.profile_result import CapacityPoint, StepResult
from kvprof.result import BalancePoint
from kvprof.size import Request, place

_STREAM_OF = {
    Mode.READ: ("decode_read", "read"),
    Mode.APPEND: ("append", "write"),
    Mode.RMW: ("state_update", "rmw"),
}
"""The operation, and the ceiling, that a step's traffic of each mode runs at."""


def decode_step(
    layout: CacheLayout,
    request: Request,
    streamed: Sequence[Streamed],
    ceilings: Mapping[str, float],
    weights_bytes: int | None,
) -> StepResult:
    """One decode step of all sequences: its bytes, and their time at the bandwidths measured.

    Each cache's traffic runs at the bandwidth of its own stream (fresh tables; one row appended
    per sequence), at the ceiling of its direction where that was not timed, and the weights at the
    read ceiling. The parts run one after the other, as the layers of a model do.
    """
    read = written = 0
    seconds = 0.0
    for sequences, tokens in request.batch:
        for traffic in step_traffic(layout, tokens, request.encoder_tokens):
            moved = (traffic.bytes_read + traffic.bytes_written) * sequences
            read += traffic.bytes_read * sequences
            written += traffic.bytes_written * sequences
            operation, ceiling = _STREAM_OF[traffic.mode]
            seconds += moved / _rate(streamed, operation, traffic.cache, ceilings[ceiling])
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


def _rate(streamed: Sequence[Streamed], operation: str, cache: str, otherwise: float) -> float:
    for stream in streamed:
        job = stream.job
        of_a_step = job.order == "fresh" and (operation != "append" or job.tokens == 1)
        if job.op == operation and job.cache == cache and of_a_step:
            return stream.paired.bytes_per_s
    return otherwise


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
