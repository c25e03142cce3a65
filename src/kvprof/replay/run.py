"""A workload, a placed model and a clock in, a `ReplayResult` and its time series out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from kvprof._core import REPLAY_COLUMNS, AllocationPolicy, Replay
from kvprof.accounting import cache_groups
from kvprof.allocation import PAGE_BYTES, Allocation, Blocks, Pages
from kvprof.case import Case
from kvprof.errors import TraceError, UsageError
from kvprof.layout import CacheLayout
from kvprof.plan import POOL_SHARES, REQUEST_WASTES
from kvprof.replay.pace import Pace, step_time
from kvprof.replay.policies import compiled_policy
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
from kvprof.size import Placement, base_block_size, model_facts, place
from kvprof.units import format_bytes

if TYPE_CHECKING:
    from kvprof.workload.batch import Batch, Workload

MOST_SAMPLES = 2048
_FED_ROWS = 1024
_SPARKS = 60


class Replayed(Struct, frozen=True):
    """A result, and its time series ``[samples, len(REPLAY_COLUMNS)]``, timed in ticks."""

    result: ReplayResult
    samples: NDArray[np.int64]
    ticks_per_s: float


def longest_request(workload: Workload) -> int:
    """Tokens of the longest request, its output included.

    Raises
    ------
    TraceError
        When there is no request.
    """
    longest = 0
    for batch in workload.batches():
        longest = max(longest, int((batch.prompt_tokens + batch.output_tokens).max(initial=0)))
    if longest == 0:
        raise TraceError(f"{workload.name}: no request in it")
    return longest


def replay(
    case: Case,
    workload: Workload,
    pace: Pace,
    *,
    source: TraceSource,
    skipped_rows: int = 0,
    progress: Callable[[float], None] = lambda part: None,
) -> Replayed:
    """Run a workload through an engine's allocation.

    Parameters
    ----------
    progress
        Told how many requests were replayed.

    Raises
    ------
    UsageError
        When the engine places nothing, there is no memory, or prefixes cannot be cached.
    TraceError
        When requests do not ascend in time.
    """
    memory = case.request.memory_bytes
    if memory is None:
        raise UsageError(
            "a replay is about a memory, and none is given",
            hint="Give --memory, e.g. --memory 40GiB, or --device-memory less --weights.",
        )
    prefix_tokens = hashed_tokens(workload, pace)
    placement = place(case.model, case.engine, case.request)
    allocation = allocation_of(case, placement)
    limits = case.request.limits
    policy = compiled_policy(
        placement,
        allocation,
        capacity_bytes=memory,
        longest_tokens=limits.max_model_len,
        encoder_tokens=limits.encoder_tokens,
        prefix_tokens=prefix_tokens,
    )
    loop = replay_loop(
        policy,
        pace,
        placement.kept,
        encoder_tokens=limits.encoder_tokens,
        longest_tokens=limits.max_model_len,
    )
    seconds = run_requests(loop, workload, hashed=pace.prefix_cache, progress=progress)
    result = _result(case, placement, allocation, pace, loop, source, skipped_rows, seconds)
    return Replayed(result, loop.samples, pace.ticks_per_s)


def hashed_tokens(workload: Workload, pace: Pace) -> int:
    """Tokens of a prefix hash, where prefixes are cached; else 0.

    Raises
    ------
    UsageError
        When they are to be, and the workload has no hashes.
    """
    if not pace.prefix_cache:
        return 0
    if workload.block_tokens is None:
        raise UsageError(
            f"--prefix-cache on: {workload.name} has no prefix hashes",
            hint="Leave --prefix-cache out, or take a trace that has them.",
        )
    return workload.block_tokens


def replay_loop(
    policy: AllocationPolicy,
    pace: Pace,
    layout: CacheLayout,
    *,
    encoder_tokens: int = 0,
    longest_tokens: int | None = None,
    until_tick: int | None = None,
    until_completed: int | None = None,
) -> Replay:
    """The compiled loop over a policy of what is kept; see `Replay` for where it stops."""
    step = step_time(pace, layout)
    return Replay(
        policy,
        ticks_per_s=pace.ticks_per_s,
        step_ticks=step.ticks,
        moves=step.moves,
        encoder_tokens=encoder_tokens,
        prefill_tokens_per_s=pace.prefill_tokens_per_s or 0.0,
        preemption=pace.preemption,
        longest_tokens=longest_tokens,
        jumps=pace.jumps,
        most_samples=MOST_SAMPLES,
        until_tick=until_tick,
        until_completed=until_completed,
    )


def allocation_of(case: Case, placement: Placement) -> Allocation:
    """What the engine names, or blocks of its plan.

    Raises
    ------
    UsageError
        When the engine places nothing.
    """
    if placement.allocation is not None:
        return placement.allocation
    if placement.plan is None:
        raise UsageError(
            f"--engine {case.engine.name} places nothing, so there is nothing to replay",
            hint="Try --engine paged, vllm, sglang, transformers, vmm or orca-max.",
        )
    return Blocks(placement.plan)


def run_requests(
    loop: Replay, workload: Workload, *, hashed: bool, progress: Callable[[float], None]
) -> float:
    """Feed a workload to a loop until it stops; seconds that the loop took.

    Raises
    ------
    TraceError
        When requests do not ascend in time.
    """
    seconds, done = 0.0, 0
    try:
        for batch in workload.batches():
            for part in _parts(batch, hashed=hashed):
                start = time.perf_counter()
                loop.feed(
                    arrival_s=part.arrival_s,
                    prompt_tokens=part.prompt_tokens,
                    output_tokens=part.output_tokens,
                    hash_offsets=part.hash_offsets,
                    hashes=part.hashes,
                )
                seconds += time.perf_counter() - start
                done += len(part)
                progress(done)
                if loop.stopped:
                    return seconds
        start = time.perf_counter()
        loop.finish()
    except (ValueError, OverflowError) as error:
        raise TraceError(f"{workload.name}: {error}") from None
    return seconds + time.perf_counter() - start


def _parts(batch: Batch, *, hashed: bool) -> Iterator[Batch]:
    """A batch in parts that are short enough to show progress; offsets are into all its hashes."""
    hashes = batch.hashes if hashed else np.zeros(0, np.uint64)
    offsets = batch.hash_offsets if hashed else np.zeros(len(batch) + 1, np.int64)
    for first in range(0, len(batch), _FED_ROWS):
        rows = slice(first, first + _FED_ROWS)
        yield structs.replace(
            batch,
            arrival_s=batch.arrival_s[rows],
            prompt_tokens=batch.prompt_tokens[rows],
            output_tokens=batch.output_tokens[rows],
            session=batch.session[rows],
            hash_offsets=offsets[first : first + _FED_ROWS + 1],
            hashes=hashes,
        )


def _result(
    case: Case,
    placement: Placement,
    allocation: Allocation,
    pace: Pace,
    loop: Replay,
    source: TraceSource,
    skipped_rows: int,
    seconds: float,
) -> ReplayResult:
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
        requests=ReplayRequests(
            total=counts["total"],
            completed=counts["completed"],
            rejected=counts["rejected"],
            preemptions=counts["preemptions"],
            skipped_rows=skipped_rows,
        ),
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
        warnings=_warnings(counts, placement, allocation),
        engine_options=options,
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
    counts: dict[str, int], placement: Placement, allocation: Allocation
) -> tuple[str, ...]:
    warnings = []
    if isinstance(allocation, Pages) and allocation.page_bytes < PAGE_BYTES:
        warnings.append(
            f"Physical pages of {format_bytes(allocation.page_bytes)} are a simulation: the driver "
            f"maps {format_bytes(PAGE_BYTES)}."
        )
    if rejected := counts["rejected"]:
        warnings.append(
            f"{rejected:,} of {counts['total']:,} requests could never fit and were rejected."
        )
    if not cache_groups(placement.layout):
        warnings.append("The model keeps nothing.")
    return tuple(warnings)
