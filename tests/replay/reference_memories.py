"""An allocation in, its reference out."""

from __future__ import annotations

from kvprof.allocation import Allocation, Blocks, Grow, Pages, Reserve
from kvprof.size import Placement

from .reference import Memory
from .reference_blocks import BlocksMemory
from .reference_pages import PagesMemory
from .reference_runs import GrowMemory, ReserveMemory


def memory_of(
    placement: Placement,
    allocation: Allocation,
    capacity: int,
    longest: int,
    *,
    unit: int,
    encoder: int = 0,
    prefix_tokens: int = 0,
) -> Memory:
    """The reference of an allocation."""
    match allocation:
        case Blocks():
            return BlocksMemory(placement, capacity, encoder, prefix_tokens)
        case Pages(page):
            return PagesMemory(placement, capacity, page, encoder)
        case Reserve():
            return ReserveMemory(placement, capacity, allocation, unit, longest, encoder)
        case Grow(grown):
            return GrowMemory(placement, capacity, grown, encoder)
