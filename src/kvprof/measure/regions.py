"""A plan with pools in, where the pages of each of its parts lie in one memory out."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from kvprof.plan import AllocationPlan, Part, PlanGroup

ALIGNMENT = 4096


class Region(Struct, frozen=True):
    """Where the pages of one part lie.

    That of layer l and block b starts at ``base_bytes`` + l x ``layer_stride_bytes`` + b x
    ``block_stride_bytes``. With layers outermost each part has a stretch ``[layers, blocks, page]``
    of its own; with blocks outermost the pages of all parts of the group lie in each block.
    """

    group: PlanGroup
    group_index: int
    part: Part
    base_bytes: int
    layer_stride_bytes: int
    block_stride_bytes: int

    @property
    def blocks(self) -> int:
        return self.group.num_blocks or 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of one layer, over all segments."""
        return sum(segment.row_bytes for segment in self.part.segments)

    @property
    def segments(self) -> list[tuple[int, int]]:
        """``(offset_bytes, row_bytes)`` of each segment of a page."""
        return [(segment.offset_bytes, segment.row_bytes) for segment in self.part.segments]

    @property
    def extent(self) -> tuple[int, int]:
        """The first byte, and one past the last, of all its pages."""
        layers, blocks = len(self.part.layers) - 1, self.blocks - 1
        last = layers * self.layer_stride_bytes + blocks * self.block_stride_bytes
        return self.base_bytes, self.base_bytes + last + self.part.page_bytes

    @property
    def blocks_first(self) -> bool:
        """Whether each block's layers lie together, and not each layer's blocks."""
        return self.layer_stride_bytes < self.block_stride_bytes


def map_regions(plan: AllocationPlan) -> tuple[Region, ...]:
    """Lay the groups of a plan one behind the other, in the plan's own order of memory."""
    regions: list[Region] = []
    base = 0
    for index, group in enumerate(plan.groups):
        lay = _blocks_first if plan.limits.order.outer == "block" else _layers_first
        regions += lay(group, index, base)
        base += _aligned((group.num_blocks or 0) * group.bytes_per_block, len(group.parts))
    return tuple(regions)


def _layers_first(group: PlanGroup, index: int, base: int) -> Iterator[Region]:
    for part in group.parts:
        layer = (group.num_blocks or 0) * part.page_bytes
        yield Region(group, index, part, base, layer, part.page_bytes)
        base += -(-layer * len(part.layers) // ALIGNMENT) * ALIGNMENT


def _blocks_first(group: PlanGroup, index: int, base: int) -> Iterator[Region]:
    for part in group.parts:
        yield Region(group, index, part, base, part.page_bytes, group.bytes_per_block)
        base += part.page_bytes * len(part.layers)


def _aligned(nbytes: int, parts: int) -> int:
    """Room for a group however it lies: each part starts on a page of the system."""
    return (-(-nbytes // ALIGNMENT) + parts - 1) * ALIGNMENT


def plan_memory(nbytes: int, parts: int) -> int:
    """Bytes of a pool that a plan of so many parts may divide: alignment is taken off first."""
    return nbytes - parts * ALIGNMENT
