"""A replay that has run in, its `ReplayResult` out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvprof._core import REPLAY_COLUMNS, Replay
from kvprof.accounting import cache_groups
from kvprof.allocation import PAGE_BYTES, Allocation, Blocks, Pages, Reserve
from kvprof.case import Case
from kvprof.plan import POOL_SHARES, REQUEST_WASTES
from kvprof.replay.pace import Pace
from kvprof.replay.pools import pools_of
from kvprof.replay.uses import pool_uses
from kvprof.replay_result import (
    MeanBytes,
    ReplayBytes,
    ReplayMean,
    ReplayRequests,
    ReplayResult,
    TraceSource,
)
from kvprof.size import Placement, Request, base_block_size, model_facts
from kvprof.units import format_bytes

_SPARKS = 60


def replay_result(
    case: Case,
    placement: Placement,
    allocation: Allocation,
    pace: Pace,
    loop: Replay,
    source: TraceSource,
    skipped_rows: int,
    seconds: float,
) -> ReplayResult:
    """What a replay that took so many seconds has shown."""
    counts, full, request = loop.counts, loop.fullest, case.request
    ticks_per_s = pace.ticks_per_s
    capacity = request.memory_bytes or 0
    queried, steps = counts["queried_tokens"], counts["decode_steps"]
    plan = allocation.plan if isinstance(allocation, Blocks) else None
    options = {n: v for owner, n, v in request.engine_options if owner == case.engine.name}
    return ReplayResult(
        model=model_facts(case.model),
        engine=case.engine.name,
        policy=policy_name(allocation),
        cache_dtype=placement.dtypes.cache,
        state_dtype=placement.dtypes.state,
        block_size=base_block_size(plan) if plan else None,
        tensor_parallel=request.tensor_parallel,
        encoder_tokens=request.encoder_tokens,
        max_model_len=request.limits.max_model_len,
        trace=source,
        requests=requests_of(counts, skipped_rows),
        bytes=ReplayBytes(
            logical=full["logical"], reserved=full["pool_reserved"], shared=full["shared_bytes"]
        ),
        waste={name: full[name] for name in REQUEST_WASTES},
        pool={name: full[f"pool_{name}"] for name in POOL_SHARES},
        mean=_means(loop.means),
        pools=pool_uses(pools_of(placement, allocation, capacity), loop, ticks_per_s),
        capacity_bytes=capacity,
        largest_free_run_bytes=full["largest_free_run"],
        live_sequences=full["live_sequences"],
        most_live_sequences=counts["most_live"],
        fullest_s=full["tick"] / ticks_per_s,
        span_s=counts["ticks"] / ticks_per_s,
        hit_rate=counts["hit_tokens"] / queried if pace.prefix_cache and queried else None,
        preemption=pace.preemption,
        recomputed_tokens=counts["recomputed_tokens"],
        swapped_bytes=counts["swapped_bytes"],
        decode_tokens_per_s=None if pace.memory_time else pace.decode_tokens_per_s,
        memory_time=pace.memory_time,
        mean_step_s=counts["decode_ticks"] / steps / ticks_per_s if steps else None,
        prefill_tokens_per_s=pace.prefill_tokens_per_s,
        appended_tokens=counts["appended_tokens"],
        stepping="blocks" if pace.jumps else "tokens",
        series_file=None,
        seconds=seconds,
        requests_per_s=counts["total"] / seconds if seconds else 0.0,
        block_operations=counts["operations"],
        block_operations_per_s=counts["operations"] / seconds if seconds else 0.0,
        utilisation=_sparks(loop.samples, capacity),
        warnings=_warnings(counts, placement, allocation, request),
        engine_options=options,
    )


def requests_of(counts: dict[str, int], skipped_rows: int) -> ReplayRequests:
    """What became of requests by what a loop counted; so many rows of the trace were none."""
    return ReplayRequests(
        total=counts["total"],
        completed=counts["completed"],
        rejected=counts["rejected"],
        preemptions=counts["preemptions"],
        skipped_rows=skipped_rows,
    )


def policy_name(allocation: Allocation) -> str:
    """What the compiled policy is called: blocks, slots, reserve, vmm, grow."""
    if isinstance(allocation, Blocks):
        return allocation.plan.policy
    return {"Reserve": "reserve", "Pages": "vmm", "Grow": "grow"}[type(allocation).__name__]


def _means(means: dict[str, float]) -> ReplayMean:
    return ReplayMean(
        bytes=MeanBytes(means["logical"], means["pool_reserved"], means["shared_bytes"]),
        waste={name: means[name] for name in REQUEST_WASTES},
        pool={name: means[f"pool_{name}"] for name in POOL_SHARES},
        live_sequences=means["live_sequences"],
    )


def _sparks(samples: NDArray[np.int64], capacity: int) -> tuple[float, ...]:
    """Shares of the memory that were reserved, the most of each of 60 parts of the time."""
    if len(samples) == 0 or capacity == 0:
        return ()
    ticks = samples[:, REPLAY_COLUMNS.index("tick")]
    reserved = samples[:, REPLAY_COLUMNS.index("pool_reserved")]
    span = int(ticks[-1] - ticks[0]) + 1
    place_of = ((ticks - ticks[0]) / span * _SPARKS).astype(np.int64)
    most = np.zeros(int(place_of[-1]) + 1)
    np.maximum.at(most, place_of, reserved / capacity)
    return tuple(round(float(value), 4) for value in most)


def _warnings(
    counts: dict[str, int], placement: Placement, allocation: Allocation, request: Request
) -> tuple[str, ...]:
    warnings = []
    if isinstance(allocation, Pages) and allocation.page_bytes < PAGE_BYTES:
        warnings.append(
            f"Physical pages of {format_bytes(allocation.page_bytes)} are a simulation: the driver "
            f"maps {format_bytes(PAGE_BYTES)}."
        )
    of_all = f"of {counts['total']:,} requests"
    longest = f"{request.limits.max_model_len:,} tokens"
    if too_long := counts["too_long"]:
        warnings.append(
            f"{too_long:,} {of_all} are longer than --max-model-len, {longest}, and were rejected."
        )
    if too_large := counts["rejected"] - too_long:
        why = ""
        if isinstance(allocation, Reserve) and allocation.tokens == "max":
            why = f": each is given room for --max-model-len, {longest}"
        warnings.append(f"{too_large:,} {of_all} could never fit and were rejected{why}.")
    if not cache_groups(placement.layout):
        warnings.append("The model keeps nothing.")
    return tuple(warnings)
