"""A workload, a placed model and a clock in, a `ReplayResult` and its time series out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from kvprof._core import Replay
from kvprof.allocation import Allocation, Blocks
from kvprof.case import Case
from kvprof.errors import TraceError, UsageError
from kvprof.plan import Limits
from kvprof.replay.outcome import replay_result
from kvprof.replay.pace import Pace, step_time
from kvprof.replay.policies import compiled_policy
from kvprof.replay.prefixes import hashed_tokens
from kvprof.replay_result import ReplayResult, TraceSource
from kvprof.size import Placement, place

if TYPE_CHECKING:
    from kvprof.workload.batch import Batch, Workload

MOST_SAMPLES = 2048
_FED_ROWS = 1024


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
        raise no_memory()
    placement = place(case.model, case.engine, case.request)
    allocation = allocation_of(case, placement)
    limits = case.request.limits
    loop = replay_loop(
        placement,
        allocation,
        workload,
        pace,
        limits,
        capacity_bytes=memory,
        longest_tokens=limits.max_model_len,
    )
    seconds = run_requests(loop, workload, hashed=pace.prefix_cache, progress=progress)
    result = replay_result(case, placement, allocation, pace, loop, source, skipped_rows, seconds)
    return Replayed(result, loop.samples, pace.ticks_per_s)


def no_memory() -> UsageError:
    """What is raised where nothing says how much memory there is."""
    return UsageError(
        "a replay is about a memory, and none is given",
        hint="Give --memory, e.g. --memory 40GiB, or --device-memory less --weights.",
    )


def replay_loop(
    placement: Placement,
    allocation: Allocation,
    workload: Workload,
    pace: Pace,
    limits: Limits,
    *,
    capacity_bytes: int,
    longest_tokens: int | None = None,
    until_tick: int | None = None,
    until_completed: int | None = None,
) -> Replay:
    """The compiled loop over an allocation, for a workload that it has not been fed yet.

    Parameters
    ----------
    longest_tokens
        Requests that would grow longer are rejected; None: none for that.
    until_tick, until_completed
        Where the loop stops; see `Replay`.

    Raises
    ------
    UsageError
        When prefixes are to be cached and cannot, or the memory makes too many blocks.
    """
    policy = compiled_policy(
        placement,
        allocation,
        capacity_bytes=capacity_bytes,
        longest_tokens=limits.max_model_len,
        encoder_tokens=limits.encoder_tokens,
        prefix_tokens=hashed_tokens(workload, pace),
    )
    step = step_time(pace, placement.kept)
    return Replay(
        policy,
        ticks_per_s=pace.ticks_per_s,
        step_ticks=step.ticks,
        moves=step.moves,
        encoder_tokens=limits.encoder_tokens,
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
