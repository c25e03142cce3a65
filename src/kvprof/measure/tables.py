"""Block tables of live sequences in, the address plans of what a step streams out."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from kvprof._core import CopyPlan, PagePlan, SlotPlan
from kvprof.measure.block_tables import Blocks, Tables, first_block
from kvprof.measure.regions import Region
from kvprof.page_order import Segment
from kvprof.plan import PlanGroup

Runs = NDArray[np.uint32]
"""``[n, 3]``: block id, first row, rows."""
RegionRuns = tuple[Region, Runs]
"""Runs of a region's blocks."""


class Shape(Struct, frozen=True):
    """The live sequences that are streamed: how many, and the tokens of each, or their mean."""

    sequences: int
    tokens: int

    @classmethod
    def of(cls, tables: Tables) -> Shape:
        count = len(tables.tokens)
        return cls(count, round(sum(tables.tokens) / count) if count else 0)


def table_runs(tables: Tables, group: PlanGroup, index: int) -> Runs:
    """The rows that each live sequence must keep in group ``index``, block by block.

    Rows that several share are there once for each: so often does a decode step read them.
    """
    runs = [np.zeros((0, 3), np.int64)]
    for sequence, ids in enumerate(tables.ids[index]):
        rows = group.rows(tables.tokens[sequence], tables.encoder_tokens)
        ordinals = first_block(group, tables, sequence) + np.arange(len(ids), dtype=np.int64)
        starts = ordinals * group.rows_per_block
        first = np.maximum(rows.start - starts, 0)
        end = np.minimum(rows.stop - starts, group.rows_per_block)
        runs.append(np.stack([ids.astype(np.int64), first, end - first], axis=1))
    return np.concatenate(runs).astype(np.uint32)


def last_slots(tables: Tables, group: PlanGroup, index: int) -> list[NDArray[np.int64]]:
    """The slots of the rows that each live sequence keeps, oldest first: one array a sequence."""
    slots = []
    for sequence, ids in enumerate(tables.ids[index]):
        rows = group.rows(tables.tokens[sequence], tables.encoder_tokens)
        positions = np.arange(rows.start, rows.stop, dtype=np.int64)
        held = positions // group.rows_per_block - first_block(group, tables, sequence)
        blocks = ids[held].astype(np.int64)
        slots.append(blocks * group.rows_per_block + positions % group.rows_per_block)
    return slots


def shuffled_places(num_blocks: int, seed: int) -> Blocks:
    """Every block of the pool in random order."""
    return np.random.default_rng(seed).permutation(num_blocks).astype(np.uint32)


def shuffled(runs: Runs, num_blocks: int, seed: int) -> Runs:
    """The same rows in blocks drawn at random from the whole pool."""
    moved = runs.copy()
    moved[:, 0] = shuffled_places(num_blocks, seed)[runs[:, 0]]
    return moved


def page_plan(region: Region, runs: Runs, segment: int | None = None) -> PagePlan:
    """The address plan of those rows in all layers of a region, or of one segment of them."""
    segments = region.segments if segment is None else [region.segments[segment]]
    return PagePlan(
        base_bytes=region.base_bytes,
        layer_stride_bytes=region.layer_stride_bytes,
        block_stride_bytes=region.block_stride_bytes,
        layers=len(region.part.layers),
        segments=segments,
        runs=runs,
    )


def contiguous_region(region: Region, rows: int) -> Region:
    """As many bytes in as few pages as can be: one a layer, or one where blocks are outermost.

    They start where the region does and hold no gaps, whatever the order of rows in a page.
    """
    size = rows * region.row_bytes
    whole = Segment("rows", 0, region.row_bytes)
    return replace(
        region,
        group=replace(region.group, num_blocks=1, rows_per_block=rows),
        part=replace(region.part, page_bytes=size, segments=(whole,)),
        layer_stride_bytes=size if region.blocks_first else region.layer_stride_bytes,
        block_stride_bytes=0,
    )


def contiguous_runs(rows: int) -> Runs:
    """The one run of those pages."""
    return np.array([[0, 0, rows]], np.uint32)


def contiguous_plan(region: Region, rows: int) -> PagePlan:
    """The address plan of reading `contiguous_region`."""
    return page_plan(contiguous_region(region, rows), contiguous_runs(rows))


def slot_plan(region: Region, slots: NDArray[np.int64]) -> SlotPlan:
    """The address plan of writing rows to those slots in all layers of a region."""
    return SlotPlan(
        base_bytes=region.base_bytes,
        layer_stride_bytes=region.layer_stride_bytes,
        block_stride_bytes=region.block_stride_bytes,
        layers=len(region.part.layers),
        segments=region.segments,
        rows_per_block=region.group.rows_per_block,
        slots=slots,
    )


def whole_blocks_plan(region: Region, blocks: Blocks) -> PagePlan:
    """Whole pages of those blocks in all layers: one run a block where its layers lie together."""
    page, layers = region.part.page_bytes, len(region.part.layers)
    together = region.layer_stride_bytes == page
    return PagePlan(
        base_bytes=region.base_bytes,
        layer_stride_bytes=region.layer_stride_bytes,
        block_stride_bytes=region.block_stride_bytes,
        layers=1 if together else layers,
        segments=[(0, page * layers if together else page)],
        runs=_first_rows(blocks),
    )


def copy_plan(region: Region, source: Blocks, target: Blocks) -> CopyPlan:
    """The address plan of copying blocks of a region to others of it."""
    return CopyPlan(whole_blocks_plan(region, source), whole_blocks_plan(region, target))


def host_plan(region: Region, blocks: Blocks) -> PagePlan:
    """Where so many blocks lie in a memory of the host's: one behind the other, blocks outermost.

    It is alike to `whole_blocks_plan` of the region, so that the two can be copied to one another.
    """
    page, layers = region.part.page_bytes, len(region.part.layers)
    together = region.layer_stride_bytes == page
    return PagePlan(
        base_bytes=0,
        layer_stride_bytes=page,
        block_stride_bytes=page * layers,
        layers=1 if together else layers,
        segments=[(0, page * layers if together else page)],
        runs=_first_rows(np.arange(len(blocks), dtype=np.uint32)),
    )


def one_run(base_bytes: int, nbytes: int) -> PagePlan:
    """So many neighbouring bytes."""
    return PagePlan(
        base_bytes=base_bytes,
        layer_stride_bytes=0,
        block_stride_bytes=0,
        layers=1,
        segments=[(0, nbytes)],
        runs=np.array([[0, 0, 1]], np.uint32),
    )


def _first_rows(blocks: Blocks) -> Runs:
    return np.stack([blocks, np.zeros_like(blocks), np.ones_like(blocks)], axis=1)


def run_slots(runs: Runs, rows_per_block: int) -> NDArray[np.int64]:
    """The slot of every row of the runs, in order: block id x rows per block + row."""
    counts = runs[:, 2].astype(np.int64)
    starts = runs[:, 0].astype(np.int64) * rows_per_block + runs[:, 1]
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(starts, counts) + np.arange(counts.sum()) - before
