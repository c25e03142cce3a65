"""Before anything is timed: each stream operation against an independent NumPy computation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kvprof._core import Backend, Memory
from kvprof.errors import KvprofError
from kvprof.measure.regions import Pages, Region
from kvprof.measure.tables import (
    Blocks,
    Runs,
    contiguous_plan,
    copy_plan,
    page_plan,
    slot_plan,
    whole_blocks_plan,
)
from kvprof.measure.updates import UPDATES, Updated, element_of, update_part

_WORD = 8
_GATHER_BYTES = 2**20


class VerificationError(KvprofError):
    """A stream operation did not move the bytes that it should have."""


def verify_read(
    backend: Backend, memory: Memory, region: Region, runs: Runs, variant: str = ""
) -> None:
    """The checksum of a read equals NumPy's sum of every byte under the plan.

    Raises
    ------
    VerificationError
        When it does not; so for each function here.
    """
    measured = backend.decode_read(memory, page_plan(region, runs), variant).checksum
    _expect_sum("decode_read", region, measured, checksum(memory, region, runs))


def verify_contiguous(
    backend: Backend, memory: Memory, region: Region, rows: int, variant: str = ""
) -> None:
    """A read of as many bytes from the region's start on equals NumPy's sum of them."""
    measured = backend.decode_read(memory, contiguous_plan(region, rows), variant).checksum
    view = np.asarray(memoryview(memory))
    size = rows * region.row_bytes
    blocks_first = region.layer_stride_bytes < region.block_stride_bytes
    stride = size if blocks_first else region.layer_stride_bytes
    starts = (region.base_bytes + layer * stride for layer in range(len(region.part.layers)))
    expected = sum(_sum_words(view[start : start + size][None, :]) for start in starts)
    _expect_sum("decode_read", region, measured, expected % 2**64)


def verify_update(
    backend: Backend, memory: Memory, region: Region, runs: Runs, variant: str = ""
) -> None:
    """Every tensor of every state is what NumPy makes of what it was, to the bit."""
    blocks = runs[:, 0]
    before = [
        [_segment(pages, region, index)[blocks] for pages in region.pages(memory)]
        for index in range(len(region.segments))
    ]
    for index, (segment, layers) in enumerate(zip(region.part.segments, before, strict=True)):
        measured = update_part(backend, memory, region, runs, index, variant).checksum
        model: Updated = UPDATES[element_of(segment)]
        total = 0
        for pages, old in zip(region.pages(memory), layers, strict=True):
            new = _segment(pages, region, index)[blocks]
            same = np.array_equal(new, model(old))
            _expect(same, "state_update", region, f"{segment.name} is not what it should be")
            total += _sum_words(new)
        _expect_sum("state_update", region, measured, total % 2**64)


def _segment(pages: Pages, region: Region, index: int) -> Pages:
    offset, size = region.segments[index]
    return pages[:, offset : offset + size]


def verify_append(
    backend: Backend,
    memory: Memory,
    region: Region,
    slots: NDArray[np.int64],
    source: NDArray[np.uint8],
    variant: str = "",
) -> None:
    """Every row written equals its row of the source: the layers take them one after the other."""
    backend.append(memory, slot_plan(region, slots), source, variant)
    written = np.flatnonzero(slots >= 0)
    step = max(1, _GATHER_BYTES // source.shape[1])
    starts = np.cumsum([0, *(size for _, size in region.segments)])
    for layer, pages in enumerate(region.pages(memory)):
        for at in range(0, len(written), step):
            some = written[at : at + step]
            blocks, rows = np.divmod(slots[some], region.group.rows_per_block)
            expected = source[(layer * len(slots) + some) % len(source)]
            for (offset, size), start in zip(region.segments, starts, strict=False):
                found = _rows(pages, region, offset, size)[blocks, rows]
                same = np.array_equal(found, expected[:, start : start + size])
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
) -> None:
    """Every target page equals its source page, and the source is as it was."""
    before = [_gathered_sum(pages, source) for pages in region.pages(memory)]
    backend.block_copy(memory, copy_plan(region, source, target), variant)
    for pages, old in zip(region.pages(memory), before, strict=True):
        same = _pages_equal(pages, source, pages, target)
        _expect(same, "block_copy", region, "a page differs from its source")
        _expect(_gathered_sum(pages, source) == old, "block_copy", region, "a source has changed")


def verify_zero(
    backend: Backend, memory: Memory, region: Region, blocks: Blocks, variant: str = ""
) -> None:
    """Every byte of the pages is zero."""
    backend.zero(memory, whole_blocks_plan(region, blocks), variant)
    for pages in region.pages(memory):
        clear = not any(some.any() for some in _gathered(pages, blocks))
        _expect(clear, "zero", region, "a byte is not zero")


def verify_swapped(
    operation: str, memory: Memory, region: Region, blocks: Blocks, host: Memory
) -> None:
    """The blocks equal those of the host's memory, one behind the other with all their layers."""
    page, layers = region.part.page_bytes, len(region.part.layers)
    view = np.asarray(memoryview(host))[: len(blocks) * layers * page]
    on_host = view.reshape(len(blocks), layers, page)
    for layer, pages in enumerate(region.pages(memory)):
        there = on_host[:, layer]
        same = _pages_equal(pages, blocks, there, np.arange(len(blocks), dtype=np.uint32))
        _expect(same, operation, region, "a page differs from its copy")


def checksum(memory: Memory, region: Region, runs: Runs) -> int:
    """The sum, modulo 2**64, of the 64-bit words of every run in every layer, by NumPy.

    Runs of one shape are gathered together; their last bytes are extended with zeros to a word.
    """
    total = 0
    shapes = np.unique(runs[:, 1:], axis=0)
    for pages in region.pages(memory):
        for first, rows in shapes:
            blocks = runs[(runs[:, 1] == first) & (runs[:, 2] == rows), 0]
            for gathered in _gathered(pages, blocks):
                for offset, size in region.segments:
                    start = offset + int(first) * size
                    total += _sum_words(gathered[:, start : start + int(rows) * size])
    return total % 2**64


def _gathered(pages: Pages, blocks: Blocks) -> Iterator[Pages]:
    """Copies of the blocks' pages, a few at a time, so that what is gathered stays in cache."""
    step = max(1, _GATHER_BYTES // pages.shape[1])
    buffer = np.empty((min(step, len(blocks)), pages.shape[1]), np.uint8)
    for at in range(0, len(blocks), step):
        some = blocks[at : at + step]
        yield np.take(pages, some, axis=0, out=buffer[: len(some)], mode="clip")


def _gathered_sum(pages: Pages, blocks: Blocks) -> int:
    return sum(map(_sum_words, _gathered(pages, blocks))) % 2**64


def _pages_equal(pages: Pages, blocks: Blocks, others: Pages, other_blocks: Blocks) -> bool:
    both = zip(_gathered(pages, blocks), _gathered(others, other_blocks), strict=True)
    return all(np.array_equal(some, same) for some, same in both)


def _sum_words(runs: NDArray[np.uint8]) -> int:
    missing = -runs.shape[1] % _WORD
    if missing:
        runs = np.pad(runs, ((0, 0), (0, missing)))
    words = np.ascontiguousarray(runs).view("<u8")
    return int(words.sum(dtype=np.uint64))


def _expect_sum(operation: str, region: Region, measured: int, expected: int) -> None:
    _expect(measured == expected, operation, region, f"checksum {measured} is not {expected}")


def _expect(holds: bool, operation: str, region: Region, why: str) -> None:
    if not holds:
        raise VerificationError(
            f"{operation} of {region.part.cache.key!r} moved the wrong bytes: {why}",
            hint="It was not timed. Please report it with the output of `kvprof doctor`.",
        )
