"""A bound layout and limits in, the plan of paged blocks out: what engines of blocks build on."""

from __future__ import annotations

from fractions import Fraction

from msgspec.structs import replace

from kvprof.accounting import CacheGroup, cache_groups, entry_bytes
from kvprof.errors import UsageError
from kvprof.layout import CacheLayout, Clock, Keep, Once
from kvprof.page_order import page_segments
from kvprof.plan import AllocationPlan, Limits, Part, PlanGroup

DEFAULT_BLOCK_SIZE = 16
MAX_BLOCK_SIZE = 2**20


def paged_plan(layout: CacheLayout, limits: Limits, block_size: int) -> AllocationPlan:
    """Blocks of ``block_size`` tokens: one block table and one pool for each retention.

    Caches with the same retention share a block table. A pool's share of the memory is the share
    that its group has in one sequence of ``max_model_len`` tokens.

    Raises
    ------
    UsageError
        When the block size is not between 1 and 2**20.
    """
    if not 1 <= block_size <= MAX_BLOCK_SIZE:
        raise UsageError(
            f"--block-size is {block_size}; it must be from 1 to {MAX_BLOCK_SIZE} tokens",
            hint="Engines take 16 by default, others up to 256.",
        )
    by_retention: dict[tuple[Keep, Clock, int], list[CacheGroup]] = {}
    for found in cache_groups(layout):
        cache = found.cache
        by_retention.setdefault((cache.keep, cache.clock, cache.entry_tokens), []).append(found)
    groups = tuple(
        _plan_group(keep, clock, entry_tokens, members, block_size, limits)
        for (keep, clock, entry_tokens), members in by_retention.items()
    )
    plan = AllocationPlan("blocks", groups, limits)
    return plan if limits.memory_bytes is None else _with_pools(plan, limits.memory_bytes)


def _plan_group(
    keep: Keep,
    clock: Clock,
    entry_tokens: int,
    members: list[CacheGroup],
    block_size: int,
    limits: Limits,
) -> PlanGroup:
    if isinstance(keep, Once):
        # A state is one row; its block spans the sequence, however long.
        rows, tokens = 1, limits.max_model_len
    else:
        rows = max(1, block_size // entry_tokens)
        tokens = rows * entry_tokens
    parts = tuple(
        Part(
            member.cache,
            member.layers,
            rows * entry_bytes(member.cache),
            page_segments(member.cache, rows, limits.order),
        )
        for member in members
    )
    return PlanGroup(keep, clock, entry_tokens, rows, tokens, parts)


def _with_pools(plan: AllocationPlan, memory_bytes: int) -> AllocationPlan:
    sequences = Fraction(memory_bytes, plan.peak_bytes) if plan.peak_bytes else Fraction(0)
    peaks = plan.peak_blocks()
    groups = tuple(
        replace(group, num_blocks=int(sequences * blocks)) for group, blocks in peaks.items()
    )
    return replace(plan, groups=groups)
