"""A placed model and an engine's `Allocation` in, the compiled policy that a replay runs out."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof._core import (
    AllocationPolicy,
    CacheRule,
    ReplayGroup,
    ReplayHolding,
    ReplayPart,
    ReplayPool,
    blocks_policy,
    grow_policy,
    reserve_policy,
)
from kvprof.accounting import CacheGroup, cache_groups, entry_bytes
from kvprof.allocated import PageTensors, page_tensors, unit_bytes
from kvprof.allocation import Allocation, Blocks, Grow, Pages, Reserve
from kvprof.errors import UsageError
from kvprof.layout import All, Cache, CacheLayout, Keep, Once
from kvprof.plan import AllocationPlan, Holding, PlanGroup
from kvprof.replay.pools import Pool, pools_of
from kvprof.replay.prefixes import checkpoint_tokens, prefix_step_of
from kvprof.size import Placement


def compiled_policy(
    placement: Placement,
    allocation: Allocation,
    *,
    capacity_bytes: int,
    longest_tokens: int,
    encoder_tokens: int = 0,
    prefix_tokens: int = 0,
) -> AllocationPolicy:
    """The policy, over a memory of so many bytes.

    Parameters
    ----------
    longest_tokens
        The longest sequence that may be asked for.
    prefix_tokens
        Tokens that a prefix hash stands for; 0: prefixes are not cached.

    Raises
    ------
    UsageError
        When prefixes are to be cached and the policy cannot, there are too many blocks, or a long
        request would take more bytes than 64 bits count.
    """
    try:
        return _compiled(
            placement, allocation, capacity_bytes, longest_tokens, encoder_tokens, prefix_tokens
        )
    except ValueError as error:
        raise UsageError(
            f"the memory cannot be divided into blocks: {error}",
            hint="Give less --memory, larger blocks, or a smaller model.",
        ) from None


def _compiled(
    placement: Placement,
    allocation: Allocation,
    capacity_bytes: int,
    longest_tokens: int,
    encoder_tokens: int,
    prefix_tokens: int,
) -> AllocationPolicy:
    needed = cache_groups(placement.layout)
    kept = cache_groups(placement.kept)
    logical = [rule(group.cache, group_row_bytes(group)) for group in needed]
    if prefix_tokens and not isinstance(allocation, Blocks):
        raise UsageError(
            "--prefix-cache on: prefixes are cached in blocks that several sequences can have in "
            "their block tables",
            hint="Leave --prefix-cache out, or try --engine paged, vllm or sglang.",
        )
    match allocation:
        case Blocks(plan):
            prefix_step = prefix_step_of(plan) if prefix_tokens else 0
            groups = _block_groups(plan, placement.layout)
        case Pages(page_bytes):
            prefix_step = 0
            groups = _page_groups(page_tensors(kept), page_bytes)
        case Reserve(tokens, fit):
            return reserve_policy(
                kept=[rule(group.cache, group_row_bytes(group)) for group in kept],
                logical=logical,
                reserve=tokens,
                fit=fit,
                unit_bytes=unit_bytes(kept),
                longest_tokens=longest_tokens,
                capacity_bytes=capacity_bytes,
                encoder_tokens=encoder_tokens,
            )
        case Grow(unit):
            return grow_policy(
                tensors=[(rule(g.cache, entry_bytes(g.cache)), len(g.layers)) for g in kept],
                logical=logical,
                unit_bytes=unit,
                capacity_bytes=capacity_bytes,
                encoder_tokens=encoder_tokens,
            )
    return blocks_policy(
        groups=groups,
        pools=_compiled_pools(pools_of(placement, allocation, capacity_bytes)),
        logical=logical,
        capacity_bytes=capacity_bytes,
        encoder_tokens=encoder_tokens,
        prefix_tokens=prefix_tokens,
        prefix_step=prefix_step,
    )


def _compiled_pools(pools: Sequence[Pool]) -> list[ReplayPool]:
    return [
        ReplayPool(
            num_blocks=pool.num_blocks,
            block_bytes=pool.block_bytes,
            reserved_blocks=pool.reserved_blocks,
        )
        for pool in pools
    ]


def rule(cache: Cache, row_bytes: int, keep: Keep | None = None) -> CacheRule:
    """A cache as the compiled loop counts it; ``row_bytes`` of one entry in all layers."""
    kept = cache.keep if keep is None else keep
    return CacheRule(
        keep=type(kept).__name__.lower(),
        keep_entries=0 if isinstance(kept, All | Once) else kept.n,
        clock=cache.clock.value,
        entry_tokens=cache.entry_tokens,
        row_bytes=row_bytes,
        begins_at=cache.begins_at,
    )


def group_row_bytes(group: CacheGroup) -> int:
    """Bytes of one entry in all layers of the group."""
    return entry_bytes(group.cache) * len(group.layers)


def _block_groups(plan: AllocationPlan, layout: CacheLayout) -> list[ReplayGroup]:
    return [
        _block_group(group, 0 if plan.shared else index, layout)
        for index, group in enumerate(plan.groups)
    ]


def _block_group(group: PlanGroup, pool: int, layout: CacheLayout) -> ReplayGroup:
    parts = []
    for part in group.parts:
        row = entry_bytes(part.cache) * len(part.layers)
        base = group.base_block_size
        parts.append(
            ReplayPart(
                cache=rule(part.cache, row),
                rows_per_block=group.rows_in(part),
                base_rows=0 if base is None else max(1, base // part.cache.entry_tokens),
                padding_bytes=part.page_bytes * len(part.layers) - group.rows_in(part) * row,
                ring_rows=part.ring_rows,
            )
        )
    return ReplayGroup(
        rule=rule(group.parts[0].cache, 0, group.keep),
        parts=parts,
        rows_per_block=group.rows_per_block,
        block_tokens=group.block_size,
        filler_bytes=group.filler_bytes,
        holding=None if group.holding is None else _holding(group.holding),
        pool=pool,
        logical=_logical_rules(group, layout),
        checkpoints=bool(checkpoint_tokens(group)),
    )


def _logical_rules(group: PlanGroup, layout: CacheLayout) -> list[CacheRule]:
    """What is needed of the group's layers: the caches of the layout that bear the same names."""
    members = {(layer, part.cache.key) for part in group.parts for layer in part.layers}
    layers: dict[Cache, int] = {}
    for layer, cache in layout.caches():
        if (layer.index, cache.key) in members:
            layers[cache] = layers.get(cache, 0) + 1
    return [rule(cache, entry_bytes(cache) * count) for cache, count in layers.items()]


def _holding(held: Holding) -> ReplayHolding:
    return ReplayHolding(
        lookahead_tokens=held.lookahead_tokens,
        longest_tokens=held.longest_tokens,
        retained_tokens=held.retained_tokens,
        window_step=held.window_step,
        state_blocks=held.state_blocks,
    )


def _page_groups(tensors: Sequence[PageTensors], page_bytes: int) -> list[ReplayGroup]:
    return [
        ReplayGroup(
            rule=rule(each.cache, 0),
            parts=[ReplayPart(cache=rule(each.cache, each.count), rows_per_block=page_bytes)],
            rows_per_block=page_bytes,
            block_tokens=1,
            row_units=each.row_bytes,
            pool=0,
            ids_per_block=each.count,
        )
        for each in tensors
    ]
