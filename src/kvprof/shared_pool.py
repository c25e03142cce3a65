"""Groups of pages and limits in, a plan in which all groups share one pool of block ids out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from kvprof.layer_pages import LayerPage, PageGroup
from kvprof.layout import Cache, Once
from kvprof.page_order import page_segments
from kvprof.plan import AllocationPlan, Holding, Limits, Part, PlanGroup

POLICY = "shared_blocks"


def shared_plan(
    groups: Sequence[PageGroup],
    limits: Limits,
    *,
    holding: Callable[[Cache], Holding],
    base_block_size: int | None = None,
) -> AllocationPlan:
    """A plan of one pool, whose block is as large as the widest group's.

    Parameters
    ----------
    groups
        Which layers share a block table.
    limits
        Of the pool; a block id is taken off for block 0, which no sequence gets.
    holding
        How the engine holds a cache.
    base_block_size
        The engine's own block size, where pages of states have blown it up.
    """
    widest = max((group.block_bytes for group in groups), default=0)
    blocks = limits.memory_bytes and widest and limits.memory_bytes // widest
    planned = (_plan_group(group, limits, holding, base_block_size) for group in groups)
    return AllocationPlan(
        POLICY,
        tuple(
            replace(group, num_blocks=blocks, filler_bytes=widest - group.layers_bytes)
            for group in planned
        ),
        limits,
        shared=True,
        reserved_blocks=1,
    )


def _plan_group(
    group: PageGroup,
    limits: Limits,
    holding: Callable[[Cache], Holding],
    base_block_size: int | None,
) -> PlanGroup:
    members: dict[tuple[Cache, int], list[LayerPage]] = {}
    for page in group.pages:
        members.setdefault((page.cache, page.page_bytes), []).append(page)
    first = group.pages[0]
    parts = tuple(
        Part(
            cache,
            tuple(page.layer for page in pages),
            page_bytes,
            page_segments(cache, _rows(pages[0]), limits.order),
        )
        for (cache, page_bytes), pages in members.items()
    )
    return PlanGroup(
        keep=first.keep,
        clock=first.cache.clock,
        entry_tokens=first.cache.entry_tokens,
        rows_per_block=_rows(first),
        block_size=first.block_size,
        parts=parts,
        base_block_size=base_block_size,
        holding=holding(first.cache),
        summed=group.summed,
    )


def _rows(page: LayerPage) -> int:
    if isinstance(page.keep, Once):
        return 1
    return max(1, page.block_size // page.cache.entry_tokens)
