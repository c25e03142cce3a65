"""Traffic through the allocator; where every byte of the pool stands afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kvprof._core import BatchingResult, CacheAllocator, run_batching
from kvprof.accounting import CacheGroup, logical_bytes
from kvprof.errors import KvprofError
from kvprof.layout import All
from kvprof.measure.regions import compiled_group
from kvprof.plan import POOL_SHARES, REQUEST_WASTES, AllocationPlan
from kvprof.workload.synthetic import Requests, chat_requests

_LONGEST_TOKENS = 2048
_OFFERED_LOAD = 0.95
_TURNOVERS = 5
_LEAST_COMPLETED = 100
_MAX_STEPS = 200_000
_REQUESTS = 50_000
_ALL = 2**62


class Aged(Struct, frozen=True):
    """The allocator as traffic left it, and its sums."""

    allocator: CacheAllocator
    batching: BatchingResult
    bytes: dict[str, int]
    waste: dict[str, int]
    pool: dict[str, int]


class Traffic(Struct, frozen=True):
    """Requests of a trace, and what it is called."""

    name: str
    requests: Requests


def age(
    plan: AllocationPlan,
    needed: Sequence[CacheGroup],
    pool_bytes: int,
    seed: int,
    traffic: Traffic | None = None,
) -> Aged:
    """Run traffic through the pool, by default chat that is drawn.

    Chat comes at 95 % of what the pool can serve, until it has turned over five times. Requests of
    a trace come when they came, and what they leave is that of the step after which most blocks
    are in use.

    Parameters
    ----------
    plan
        A plan with pools.
    needed
        The bound layout's caches: what of the reserved bytes is logical.
    pool_bytes
        The whole pool; what its blocks do not divide is the remainder.
    """
    ran = _chat(plan, seed) if traffic is None else _at_its_fullest(plan, traffic.requests)
    allocator, batching = ran
    lengths = [allocator.tokens(int(sequence)) for sequence in allocator.sequences]
    sums, waste = _request_sums(plan, needed, lengths)
    shares = _pool_sum(plan, allocator, batching, pool_bytes)
    _must_hold("the plan's reserved = the allocator's", sums["reserved"], shares["reserved"])
    return Aged(allocator, batching, sums, waste, shares)


def _chat(plan: AllocationPlan, seed: int) -> tuple[CacheAllocator, BatchingResult]:
    drawn = chat_requests(_REQUESTS, longest_tokens=_longest(plan), seed=seed)
    fits = max(1, int(plan.concurrency_of(round(drawn.live_tokens)) or 1))
    requests = drawn.paced(_OFFERED_LOAD * fits / float(drawn.output_tokens.mean()))
    completions = min(_REQUESTS // 2, max(_LEAST_COMPLETED, _TURNOVERS * fits))
    return _run(plan, requests, completions, _MAX_STEPS)


def _at_its_fullest(
    plan: AllocationPlan, requests: Requests
) -> tuple[CacheAllocator, BatchingResult]:
    """Once to find the step, and once up to it: the same requests do the same."""
    _, whole = _run(plan, requests, _ALL, _ALL)
    return _run(plan, requests, _ALL, whole.fullest_steps)


def _run(
    plan: AllocationPlan, requests: Requests, completions: int, steps: int
) -> tuple[CacheAllocator, BatchingResult]:
    allocator = CacheAllocator([compiled_group(group) for group in plan.groups])
    batching = run_batching(
        allocator,
        arrival_steps=requests.arrival_steps,
        prompt_tokens=requests.prompt_tokens,
        output_tokens=requests.output_tokens,
        until_completed=completions,
        max_steps=steps,
    )
    return allocator, batching


def _longest(plan: AllocationPlan) -> int:
    """The longest request: ShareGPT's limit, or what the smallest growing pool can hold."""
    growing = [
        (group.num_blocks or 0) * group.block_size
        for group in plan.groups
        if isinstance(group.keep, All)
    ]
    return max(2, min([_LONGEST_TOKENS, *growing]))


def _request_sums(
    plan: AllocationPlan, needed: Sequence[CacheGroup], lengths: Sequence[int]
) -> tuple[dict[str, int], dict[str, int]]:
    encoder_tokens = plan.limits.encoder_tokens
    logical = reserved = 0
    waste = dict.fromkeys(REQUEST_WASTES, 0)
    for length in lengths:
        own = logical_bytes(needed, length, encoder_tokens)
        logical += own
        reserved += plan.reserved_bytes(length, encoder_tokens)
        for name, size in plan.wastes(own, length, encoder_tokens).items():
            waste[name] += size
    _must_hold("reserved = logical + wastes", reserved, logical + sum(waste.values()))
    # Nothing is shared: the synthetic requests have no common prefixes.
    return {"logical": logical, "reserved": reserved, "shared": 0}, waste


def _pool_sum(
    plan: AllocationPlan, allocator: CacheAllocator, batching: BatchingResult, pool_bytes: int
) -> dict[str, int]:
    shares = dict.fromkeys(POOL_SHARES, 0)
    waiting = batching.waiting_tokens
    lacking = [
        bool(batching.waiting)
        and allocator.num_free(index) < allocator.blocks_needed(index, waiting)
        for index in range(len(plan.groups))
    ]
    for index, group in enumerate(plan.groups):
        held = sum(len(allocator.block_table(int(s), index)[1]) for s in allocator.sequences)
        free = allocator.num_free(index)
        shares["reserved"] += held * group.bytes_per_block
        share = "free" if not any(lacking) else "external" if lacking[index] else "imbalance"
        shares[share] += free * group.bytes_per_block
        _must_hold("blocks = held + free", group.num_blocks or 0, held + free)
    blocks = sum((group.num_blocks or 0) * group.bytes_per_block for group in plan.groups)
    shares["reserved_blocks"] = plan.reserved_blocks * plan.bytes_per_block
    shares["remainder"] = pool_bytes - blocks - shares["reserved_blocks"]
    _must_hold("capacity = the sum of its shares", pool_bytes, sum(shares.values()))
    return {"capacity": pool_bytes, **shares}


def _must_hold(what: str, left: int, right: int) -> None:
    if left != right:
        raise KvprofError(f"the sum {what!r} does not hold: {left} is not {right}")
