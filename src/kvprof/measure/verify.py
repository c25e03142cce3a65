"""Before anything is timed: each stream operation against an independent NumPy computation.

On a device that the host cannot address a part of the blocks is looked at: see `host_pages.copied`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvprof._core import Backend, Memory
from kvprof.errors import KvprofError
from kvprof.measure.block_tables import Blocks
from kvprof.measure.checksum import WRAP, checksum, gathered, gathered_sum, sum_words
from kvprof.measure.host_pages import MOST_BYTES, HostPages, Pages, See, host_pages, rows_of
from kvprof.measure.regions import Region
from kvprof.measure.tables import (
    RegionRuns,
    Runs,
    contiguous_region,
    contiguous_runs,
    copy_plan,
    page_plan,
    slot_plan,
    whole_blocks_plan,
)
from kvprof.measure.updates import UPDATES, Updated, element_of, update_part, update_plans

_APPENDED_BYTES = 2**20


class VerificationError(KvprofError):
    """A stream operation did not move the bytes that it should have."""


def verify_read(
    backend: Backend,
    memory: Memory,
    region: Region,
    runs: Runs,
    variant: str = "",
    see: See = host_pages,
) -> None:
    """The checksum of a read equals NumPy's sum of every byte under the plan.

    Where only some of the blocks are seen, a read of their runs is held to that, and the sum of all
    runs to the sum of these and of the others.

    Raises
    ------
    VerificationError
        When it does not; so for each function here.
    """

    def measured(some: Runs) -> int:
        return backend.decode_read(memory, page_plan(region, some), variant).checksum

    pages = see(memory, region, runs[:, 0])
    seen = pages.has(runs[:, 0])
    found = measured(runs[seen])
    _expect_sum("decode_read", region, found, checksum(pages, region, runs[seen]))
    if not seen.all():
        whole = (found + measured(runs[~seen])) % WRAP
        _expect_sum("decode_read", region, measured(runs), whole)


def verify_sparse_read(
    backend: Backend,
    memory: Memory,
    index: RegionRuns,
    rows: RegionRuns,
    variant: str = "",
    see: See = host_pages,
) -> None:
    """The checksum equals NumPy's sums of the index and of the rows; seen in part as a read is."""

    def measured(some: Runs, others: Runs) -> int:
        plans = page_plan(index[0], some), page_plan(rows[0], others)
        return backend.sparse_read(memory, *plans, variant).checksum

    seen, expected = [], 0
    for region, runs in (index, rows):
        pages = see(memory, region, runs[:, 0])
        seen.append(pages.has(runs[:, 0]))
        expected += checksum(pages, region, runs[seen[-1]])
    found = measured(index[1][seen[0]], rows[1][seen[1]])
    _expect_sum("sparse_read", rows[0], found, expected % WRAP)
    if not all(some.all() for some in seen):
        whole = (found + measured(index[1][~seen[0]], rows[1][~seen[1]])) % WRAP
        _expect_sum("sparse_read", rows[0], measured(index[1], rows[1]), whole)


def verify_contiguous(
    backend: Backend,
    memory: Memory,
    region: Region,
    rows: int,
    variant: str = "",
    see: See = host_pages,
) -> None:
    """A read of as many bytes from the region's start on equals NumPy's sum of them.

    Of a memory that the host cannot address, the first gigabyte is.
    """
    if not memory.on_host:
        rows = max(1, min(rows, MOST_BYTES // (region.row_bytes * len(region.part.layers))))
    verify_read(
        backend, memory, contiguous_region(region, rows), contiguous_runs(rows), variant, see
    )


def verify_update(
    backend: Backend,
    memory: Memory,
    region: Region,
    runs: Runs,
    variant: str = "",
    see: See = host_pages,
) -> None:
    """Every tensor of every state is what NumPy makes of what it was, to the bit."""
    pages = see(memory, region, runs[:, 0])
    runs = runs[pages.has(runs[:, 0])]
    places = pages.places(runs[:, 0])
    tensors = range(len(region.segments))
    before = [
        [_segment(layer, region, index)[places] for layer in pages.layers] for index in tensors
    ]
    sums = [
        update_part(backend, memory, segment, plan, variant).checksum
        for segment, plan in zip(region.part.segments, update_plans(region, runs), strict=True)
    ]
    after = see(memory, region, runs[:, 0])
    for index, segment in enumerate(region.part.segments):
        model: Updated = UPDATES[element_of(segment)]
        total = 0
        for layer, old in zip(after.layers, before[index], strict=True):
            new = _segment(layer, region, index)[places]
            same = np.array_equal(new, model(old))
            _expect(same, "state_update", region, f"{segment.name} is not what it should be")
            total += sum_words(new)
        _expect_sum("state_update", region, sums[index], total % WRAP)


def _segment(pages: Pages, region: Region, index: int) -> Pages:
    offset, size = region.segments[index]
    return pages[:, offset : offset + size]


def verify_append(
    backend: Backend,
    memory: Memory,
    region: Region,
    slots: NDArray[np.int64],
    source: NDArray[np.uint8] | Memory,
    variant: str = "",
    see: See = host_pages,
) -> None:
    """Every row written equals its row of the source: the layers take them one after the other.

    The source is ``[rows, row_bytes]``, or a memory of such rows, of which those that were written
    are looked at.
    """
    backend.append(memory, slot_plan(region, slots), source, variant)
    row_bytes = region.row_bytes
    rows = source.nbytes // row_bytes
    written = np.flatnonzero(slots >= 0)
    blocks = slots[written] // region.group.rows_per_block
    pages = see(memory, region, blocks)
    written = written[pages.has(blocks)]
    step = max(1, _APPENDED_BYTES // row_bytes)
    starts = np.cumsum([0, *(size for _, size in region.segments)])
    for layer, found in enumerate(pages.layers):
        for at in range(0, len(written), step):
            some = written[at : at + step]
            blocks, row = np.divmod(slots[some], region.group.rows_per_block)
            expected = rows_of(source, (layer * len(slots) + some) % rows, row_bytes)
            for (offset, size), start in zip(region.segments, starts, strict=False):
                there = _rows(found, region, offset, size)[pages.places(blocks), row]
                same = np.array_equal(there, expected[:, start : start + size])
                _expect(same, "append", region, "a row differs from its source")


def _rows(pages: Pages, region: Region, offset: int, size: int) -> NDArray[np.uint8]:
    """``[blocks, rows, size]`` of one segment, without a copy."""
    shape = (len(pages), region.group.rows_per_block, size)
    strides = (pages.strides[0], size, 1)
    return np.lib.stride_tricks.as_strided(pages[:, offset:], shape, strides)


def verify_block_copy(
    backend: Backend,
    memory: Memory,
    region: Region,
    source: Blocks,
    target: Blocks,
    variant: str = "",
    see: See = host_pages,
) -> None:
    """Every target page equals its source page, and the source is as it was."""
    pages = see(memory, region, source)
    places = pages.places(source[pages.has(source)])
    before = [gathered_sum(layer, places) for layer in pages.layers]
    backend.block_copy(memory, copy_plan(region, source, target), variant)
    copied = see(memory, region, target[pages.has(source)])
    pages = see(memory, region, source)
    both = pages.has(source) & copied.has(target)
    for layer, same, old in zip(pages.layers, copied.layers, before, strict=True):
        equal = _pages_equal(layer, pages.places(source[both]), same, copied.places(target[both]))
        _expect(equal, "block_copy", region, "a page differs from its source")
        _expect(gathered_sum(layer, places) == old, "block_copy", region, "a source has changed")


def verify_zero(
    backend: Backend,
    memory: Memory,
    region: Region,
    blocks: Blocks,
    variant: str = "",
    see: See = host_pages,
) -> None:
    """Every byte of the pages is zero."""
    backend.zero(memory, whole_blocks_plan(region, blocks), variant)
    pages = see(memory, region, blocks)
    places = pages.places(blocks[pages.has(blocks)])
    for layer in pages.layers:
        clear = not any(some.any() for some in gathered(layer, places))
        _expect(clear, "zero", region, "a byte is not zero")


def verify_swapped(
    operation: str,
    memory: Memory,
    region: Region,
    blocks: Blocks,
    host: Memory,
    see: See = host_pages,
) -> None:
    """The blocks equal those of the host's memory, one behind the other with all their layers."""
    page, layers = region.part.page_bytes, len(region.part.layers)
    view = np.asarray(memoryview(host))[: len(blocks) * layers * page]
    on_host = view.reshape(len(blocks), layers, page)
    pages: HostPages = see(memory, region, blocks)
    seen = np.flatnonzero(pages.has(blocks))
    places = pages.places(blocks[seen])
    for index, layer in enumerate(pages.layers):
        same = _pages_equal(layer, places, on_host[:, index], seen)
        _expect(same, operation, region, "a page differs from its copy")


def _pages_equal(
    pages: Pages,
    places: NDArray[np.int64],
    others: Pages,
    other_places: NDArray[np.int64],
) -> bool:
    both = zip(gathered(pages, places), gathered(others, other_places), strict=True)
    return all(np.array_equal(some, same) for some, same in both)


def _expect_sum(operation: str, region: Region, measured: int, expected: int) -> None:
    _expect(measured == expected, operation, region, f"checksum {measured} is not {expected}")


def _expect(holds: bool, operation: str, region: Region, why: str) -> None:
    if not holds:
        raise VerificationError(
            f"{operation} of {region.part.cache.key!r} moved the wrong bytes: {why}",
            hint="It was not timed. Please report it with the output of `kvprof doctor`.",
        )


def verify_guards(memories: dict[str, Memory]) -> None:
    """Nothing has written just before or just behind the memories, by what they are called."""
    for name, memory in memories.items():
        if not memory.guards_intact():
            raise VerificationError(
                f"an operation has written outside {name}",
                hint="Nothing was timed. Please report it with the output of `kvprof doctor`.",
            )
