"""Pages of a memory in, the same bytes as NumPy arrays out: views on the host, else copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof._core import Memory
from kvprof.measure.regions import Region

MOST_BYTES = 2**30
MOST_READS = 4096
"""What is copied from a device at a time, at most, and in how many pieces."""

Pages = NDArray[np.uint8]
"""``[blocks, page_bytes]`` of one layer."""


class HostPages(Struct, frozen=True):
    """Pages of a region, and the blocks that they belong to, ascending.

    ``layers[l][i]`` is the page of layer l and block ``blocks[i]``. A view shows what is written
    to the memory later, a copy does not: nothing may count on either.
    """

    layers: tuple[Pages, ...]
    blocks: NDArray[np.int64]

    def has(self, blocks: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of the blocks are among these."""
        return np.isin(blocks, self.blocks)

    def places(self, blocks: NDArray[np.integer]) -> NDArray[np.int64]:
        """Where in each layer the pages of these blocks are."""
        return np.searchsorted(self.blocks, blocks)


See = Callable[[Memory, Region, NDArray[np.integer]], HostPages]
"""How the host sees the pages of some blocks, or of a part of them."""


def contents(memory: Memory, start: int, end: int) -> NDArray[np.uint8]:
    """The bytes ``[start, end)``: a view where the host can address them, else a copy."""
    if memory.on_host:
        return np.asarray(memoryview(memory))[start:end]
    return memory.read(start, end - start)


def rows_of(
    source: NDArray[np.uint8] | Memory, numbers: NDArray[np.int64], row_bytes: int
) -> NDArray[np.uint8]:
    """``[len(numbers), row_bytes]``: those rows of a source, neighbouring ones as one piece."""
    if not isinstance(source, Memory):
        return source[numbers]
    pieces = [
        contents(source, first * row_bytes, end * row_bytes) for first, end in _stretches(numbers)
    ]
    return np.concatenate([np.zeros(0, np.uint8), *pieces]).reshape(-1, row_bytes)


def host_pages(memory: Memory, region: Region, blocks: NDArray[np.integer]) -> HostPages:
    """The pages of all those blocks where the host can address them, else what `copied` takes."""
    return (viewed if memory.on_host else copied)(memory, region, blocks)


def viewed(memory: Memory, region: Region, _: NDArray[np.integer]) -> HostPages:
    """Every page of the region, without a copy."""
    start, end = region.extent
    view = _strided(contents(memory, start, end), region, region.blocks)
    return HostPages(tuple(view), np.arange(region.blocks))


def copied(
    memory: Memory,
    region: Region,
    blocks: NDArray[np.integer],
    most_bytes: int = MOST_BYTES,
    most_reads: int = MOST_READS,
) -> HostPages:
    """Copies of those blocks' pages, each byte once, at most a gigabyte in 4,096 pieces.

    Neighbouring blocks are one piece in each layer, or in all layers where blocks are outermost.
    Of more pieces, or more bytes, it takes some that are spread evenly, the last one among them.
    """
    found = _some(np.unique(blocks).astype(np.int64), region, most_bytes, most_reads)
    count = sum(end - first for first, end in found)
    layers = np.empty((len(region.part.layers), count, region.part.page_bytes), np.uint8)
    done = 0
    for first, end in found:
        _copy(memory, region, first, end, layers[:, done : done + end - first])
        done += end - first
    numbers = [np.arange(first, end) for first, end in found]
    return HostPages(tuple(layers), np.concatenate([np.zeros(0, np.int64), *numbers]))


def _strided(extent: NDArray[np.uint8], region: Region, blocks: int) -> NDArray[np.uint8]:
    """``[layers, blocks, page_bytes]`` of bytes that start where the first of these pages does."""
    shape = (len(region.part.layers), blocks, region.part.page_bytes)
    strides = (region.layer_stride_bytes, region.block_stride_bytes, 1)
    return np.lib.stride_tricks.as_strided(extent, shape, strides)


def _copy(memory: Memory, region: Region, first: int, end: int, to: NDArray[np.uint8]) -> None:
    """Copy the pages of blocks ``[first, end)`` into ``[layers, blocks, page_bytes]``."""
    size = (end - first - 1) * region.block_stride_bytes + region.part.page_bytes
    start = region.base_bytes + first * region.block_stride_bytes
    if region.blocks_first:
        size += (len(region.part.layers) - 1) * region.layer_stride_bytes
        to[:] = _strided(memory.read(start, size), region, end - first)
        return
    for layer, pages in enumerate(to):
        at = start + layer * region.layer_stride_bytes
        pages[:] = memory.read(at, size).reshape(pages.shape)


def _some(
    blocks: NDArray[np.int64], region: Region, most_bytes: int, most_reads: int
) -> list[tuple[int, int]]:
    """Stretches ``[first, end)`` of neighbouring blocks, within the bounds; at least one block."""
    stretches = list(_stretches(blocks))
    layers = len(region.part.layers)
    size = region.block_stride_bytes if region.blocks_first else layers * region.part.page_bytes
    most_blocks = max(1, most_bytes // size)
    most = max(1, min(most_reads // (1 if region.blocks_first else layers), most_blocks))
    if len(stretches) > most:
        first = len(stretches) - 1 if most == 1 else 0
        stretches = [stretches[i] for i in np.linspace(first, len(stretches) - 1, most, dtype=int)]
    share = max(1, most_blocks // max(1, len(stretches)))
    return [(max(first, end - share), end) for first, end in stretches]


def _stretches(blocks: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    if not len(blocks):
        return
    cuts = np.flatnonzero(np.diff(blocks) != 1) + 1
    for stretch in np.split(blocks, cuts):
        yield int(stretch[0]), int(stretch[-1]) + 1
