"""Block tables of live sequences in, the runs of rows that a decode step streams out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kvprof._core import CacheAllocator, PagePlan, SlotPlan
from kvprof.measure.pool import Region, compiled_group
from kvprof.plan import AllocationPlan, PlanGroup

Runs = NDArray[np.uint32]
"""``[n, 3]``: block id, first row, rows."""


def admit_all(plan: AllocationPlan, tokens: Sequence[int], encoder_tokens: int) -> CacheAllocator:
    """An allocator holding one sequence of each length; a fresh pool gives ascending blocks.

    Raises
    ------
    OutOfBlocks
        When they do not all fit.
    """
    allocator = CacheAllocator([compiled_group(group) for group in plan.groups])
    for length in tokens:
        allocator.admit(length, encoder_tokens)
    return allocator


def table_runs(
    allocator: CacheAllocator, group: PlanGroup, index: int, encoder_tokens: int = 0
) -> Runs:
    """The rows that each live sequence must keep in group ``index``, block by block."""
    tables = []
    for sequence in allocator.sequences:
        first_block, ids = allocator.block_table(int(sequence), index)
        rows = group.rows(allocator.tokens(int(sequence)), encoder_tokens)
        starts = (first_block + np.arange(len(ids), dtype=np.int64)) * group.rows_per_block
        first = np.maximum(rows.start - starts, 0)
        end = np.minimum(rows.stop - starts, group.rows_per_block)
        tables.append(np.stack([ids.astype(np.int64), first, end - first], axis=1))
    if not tables:
        return np.zeros((0, 3), np.uint32)
    return np.concatenate(tables).astype(np.uint32)


def shuffled(runs: Runs, num_blocks: int, seed: int) -> Runs:
    """The same rows in blocks drawn at random from the whole pool."""
    places = np.random.default_rng(seed).permutation(num_blocks).astype(np.uint32)
    moved = runs.copy()
    moved[:, 0] = places[runs[:, 0]]
    return moved


def contiguous(runs: Runs) -> Runs:
    """As many rows in one run from block 0 on."""
    return np.array([[0, 0, runs[:, 2].sum(dtype=np.int64)]], np.uint32)


def page_plan(region: Region, runs: Runs) -> PagePlan:
    """The address plan of those rows in all layers of a region."""
    return PagePlan(
        base_bytes=region.base_bytes,
        layer_stride_bytes=region.layer_stride_bytes,
        block_stride_bytes=region.block_stride_bytes,
        layers=len(region.part.layers),
        segments=region.segments,
        runs=runs,
    )


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


def run_slots(runs: Runs, rows_per_block: int) -> NDArray[np.int64]:
    """The slot of every row of the runs, in order: block id x rows per block + row."""
    counts = runs[:, 2].astype(np.int64)
    starts = runs[:, 0].astype(np.int64) * rows_per_block + runs[:, 1]
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(starts, counts) + np.arange(counts.sum()) - before
