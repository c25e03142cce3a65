"""What an engine's `Allocation` divides a memory into: pools of blocks, and the groups in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from kvprof.accounting import cache_groups
from kvprof.allocated import PageTensors, page_tensors
from kvprof.allocation import Allocation, Blocks, Pages
from kvprof.balance import SHARED_POOL, group_caches, group_labels
from kvprof.plan import AllocationPlan
from kvprof.size import Placement


class PoolGroup(Struct, frozen=True):
    """Layers that share a block table, and which caches they are about."""

    label: str
    keep: str
    caches: tuple[str, ...]
    layers: tuple[int, ...]


class Pool(Struct, frozen=True):
    """Blocks of one size, of which no sequence gets ``reserved_blocks``."""

    num_blocks: int
    block_bytes: int
    groups: tuple[PoolGroup, ...]
    reserved_blocks: int = 0

    @property
    def label(self) -> str:
        """The group's, where there is one."""
        return self.groups[0].label if len(self.groups) == 1 else SHARED_POOL


def pools_of(placement: Placement, allocation: Allocation, capacity_bytes: int) -> tuple[Pool, ...]:
    """The pools in the order of the compiled policy's; none of a contiguous memory."""
    match allocation:
        case Blocks(plan):
            return _plan_pools(plan)
        case Pages(page_bytes):
            groups = _page_groups(page_tensors(cache_groups(placement.kept)))
            return (Pool(capacity_bytes // page_bytes, page_bytes, groups),)
    return ()


def _plan_pools(plan: AllocationPlan) -> tuple[Pool, ...]:
    if not plan.groups:
        return ()
    labels = group_labels(plan.groups)
    groups = tuple(
        PoolGroup(label, str(group.keep), group_caches(group), group.layers)
        for label, group in zip(labels, plan.groups, strict=True)
    )
    if plan.shared:
        blocks = plan.num_blocks or 0
        reserved = min(blocks, plan.reserved_blocks)
        return (Pool(blocks, max(1, plan.bytes_per_block), groups, reserved),)
    return tuple(
        Pool(planned.num_blocks or 0, max(1, planned.bytes_per_block), (group,))
        for planned, group in zip(plan.groups, groups, strict=True)
    )


def _page_groups(tensors: Sequence[PageTensors]) -> tuple[PoolGroup, ...]:
    """Rows of several sizes tell groups of one retention apart."""
    keeps = Counter(each.cache.keep for each in tensors)
    return tuple(
        PoolGroup(
            str(keep) if keeps[keep] == 1 else f"{keep} rows of {each.row_bytes:,} B",
            str(keep),
            each.caches,
            each.layers,
        )
        for each in tensors
        for keep in (each.cache.keep,)
    )
