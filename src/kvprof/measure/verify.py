"""Before anything is timed: each stream operation against an independent NumPy computation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvprof._core import Memory
from kvprof.device.backend import Backend
from kvprof.errors import KvprofError
from kvprof.measure.pool import Region
from kvprof.measure.tables import Runs, page_plan, slot_plan

_WORD = 8
_GATHER_BYTES = 4 * 2**20
ADDEND = 0x9E3779B97F4A7C15
"""What a state update adds to every word: an odd number with bits all over."""


class VerificationError(KvprofError):
    """A stream operation did not move the bytes that it should have."""


def verify_read(backend: Backend, memory: Memory, region: Region, runs: Runs) -> None:
    """The checksum of a read equals NumPy's sum of every byte under the plan.

    Raises
    ------
    VerificationError
        When it does not.
    """
    measured = backend.decode_read(memory, page_plan(region, runs)).checksum
    expected = checksum(memory, region, runs)
    _expect(measured == expected, "decode_read", region, f"checksum {measured} is not {expected}")


def verify_update(backend: Backend, memory: Memory, region: Region, runs: Runs) -> None:
    """The words under the plan grew as they should have, by NumPy's sums before and after.

    Raises
    ------
    VerificationError
        When the sums disagree.
    """
    before = checksum(memory, region, runs)
    growth = _growth(memory, region, runs)
    measured = backend.state_update(memory, page_plan(region, runs), addend=ADDEND).checksum
    after = checksum(memory, region, runs)
    expected = (before + growth) % 2**64
    _expect(after == expected, "state_update", region, f"the state sums to {after}, not {expected}")
    _expect(measured == after, "state_update", region, f"checksum {measured} is not {after}")


def _growth(memory: Memory, region: Region, runs: Runs) -> int:
    """By how much the words under the plan will grow; a run's last bytes are a shorter word."""
    growth = 0
    for pages in _layers(memory, region):
        for offset, size in region.segments:
            for block, first, rows in runs.tolist():
                words, tail = divmod(rows * size, _WORD)
                growth += words * ADDEND
                if tail:
                    end = offset + (first + rows) * size
                    last = int.from_bytes(pages[block, end - tail : end].tobytes(), "little")
                    growth += (last + ADDEND) % 256**tail - last
    return growth


def verify_append(
    backend: Backend,
    memory: Memory,
    region: Region,
    slots: NDArray[np.int64],
    source: NDArray[np.uint8],
) -> None:
    """Every row written equals its row of the source, in every layer.

    Raises
    ------
    VerificationError
        When a row differs.
    """
    backend.append(memory, slot_plan(region, slots), source)
    written = np.flatnonzero(slots >= 0)
    row_bytes = source.shape[1]
    step = max(1, _GATHER_BYTES // row_bytes)
    starts = _source_offsets(region)
    for pages in _layers(memory, region):
        for at in range(0, len(written), step):
            some = written[at : at + step]
            blocks, rows = np.divmod(slots[some], region.group.rows_per_block)
            expected = source[some % len(source)]
            for (offset, size), start in zip(region.segments, starts, strict=True):
                segment = pages[:, offset : offset + region.group.rows_per_block * size]
                found = segment.reshape(len(pages), -1, size)[blocks, rows]
                same = np.array_equal(found, expected[:, start : start + size])
                _expect(same, "append", region, "a row differs from its source")


def checksum(memory: Memory, region: Region, runs: Runs) -> int:
    """The sum, modulo 2**64, of the 64-bit words of every run in every layer, by NumPy.

    Runs of one shape are gathered together; their last bytes are extended with zeros to a word.
    """
    total = 0
    shapes = np.unique(runs[:, 1:], axis=0)
    for pages in _layers(memory, region):
        for first, rows in shapes:
            blocks = runs[(runs[:, 1] == first) & (runs[:, 2] == rows), 0]
            for offset, size in region.segments:
                total += _sum_runs(pages, blocks, offset + int(first) * size, int(rows) * size)
    return total % 2**64


def _sum_runs(pages: NDArray[np.uint8], blocks: Runs, start: int, length: int) -> int:
    """The words of ``length`` bytes from ``start`` of each of the blocks' pages."""
    page_bytes = pages.shape[1]
    if start + length > page_bytes:  # one run over many pages
        flat = pages.reshape(-1)
        begins = (int(block) * page_bytes + start for block in blocks)
        return sum(_sum_words(flat[at : at + length][None, :]) for at in begins)
    step = max(1, _GATHER_BYTES // page_bytes)
    gathered = np.empty((min(step, len(blocks)), page_bytes), np.uint8)
    total = 0
    for at in range(0, len(blocks), step):
        some = blocks[at : at + step]
        into = gathered[: len(some)]
        np.take(pages, some, axis=0, out=into, mode="clip")
        total += _sum_words(into[:, start : start + length])
    return total


def _sum_words(runs: NDArray[np.uint8]) -> int:
    missing = -runs.shape[1] % _WORD
    if missing:
        runs = np.pad(runs, ((0, 0), (0, missing)))
    words = np.ascontiguousarray(runs).view("<u8")
    return int(words.sum(dtype=np.uint64))


def _layers(memory: Memory, region: Region) -> list[NDArray[np.uint8]]:
    """Each layer's pages as ``[blocks, page_bytes]``, without a copy."""
    view = np.asarray(memoryview(memory))
    blocks = region.group.num_blocks or 0
    size = region.layer_stride_bytes
    starts = (region.base_bytes + layer * size for layer in range(len(region.part.layers)))
    return [view[at : at + size].reshape(blocks, region.part.page_bytes) for at in starts]


def _source_offsets(region: Region) -> list[int]:
    sizes = [segment.row_bytes for segment in region.part.segments]
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _expect(holds: bool, operation: str, region: Region, why: str) -> None:
    if not holds:
        raise VerificationError(
            f"{operation} of {region.part.cache.key!r} moved the wrong bytes: {why}",
            hint="Nothing was timed. Please report it with the output of `kvprof doctor`.",
        )
