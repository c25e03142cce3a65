"""The memory of a backend as NumPy sees it: where the pages of a cache lie, and their checksum."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvprof import _core

Bytes = NDArray[np.uint8]
Runs = NDArray[np.uint32]
WORD = 8
SEED = 7


@dataclass(frozen=True)
class Pages:
    """A cache whose pages do not overlap: layers of blocks or blocks of layers, with gaps."""

    base_bytes: int
    layers: int
    blocks: int
    rows_per_block: int
    row_bytes: tuple[int, ...]
    gap_bytes: int
    blocks_outermost: bool = False

    @property
    def offsets(self) -> list[int]:
        """Of each segment within its page; the last entry is the size of a page."""
        sizes = [self.rows_per_block * row + self.gap_bytes for row in self.row_bytes]
        return [0, *accumulate(sizes)]

    @property
    def placement(self) -> dict[str, Any]:
        page = self.offsets[-1]
        inner = (self.layers if self.blocks_outermost else self.blocks) * page + self.gap_bytes
        return {
            "base_bytes": self.base_bytes,
            "layer_stride_bytes": page if self.blocks_outermost else inner,
            "block_stride_bytes": inner if self.blocks_outermost else page,
            "layers": self.layers,
            "segments": list(zip(self.offsets, self.row_bytes, strict=False)),
        }

    def plan(self, runs: Runs) -> _core.PagePlan:
        return _core.PagePlan(**self.placement, runs=runs)

    def address(self, layer: int, block: int, segment: int, row: int) -> int:
        place = self.placement
        start = layer * place["layer_stride_bytes"] + block * place["block_stride_bytes"]
        return self.base_bytes + start + self.offsets[segment] + row * self.row_bytes[segment]

    def pieces(self, runs: Runs) -> list[slice]:
        """Bytes of every run of every segment and layer, in the order of the plan."""
        place = self.placement
        found = []
        for layer in range(self.layers):
            for block, first, rows in runs.tolist():
                page = layer * place["layer_stride_bytes"] + block * place["block_stride_bytes"]
                for offset, row_bytes in place["segments"]:
                    start = self.base_bytes + page + offset + first * row_bytes
                    found.append(slice(start, start + rows * row_bytes))
        return found


def row_sizes(unit_bytes: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Rows of whole units: of a few segments, or of one segment per head, all alike."""
    one = st.one_of(
        st.integers(1, 40).map(lambda units: units * unit_bytes),
        st.sampled_from([64, 128, 256, 320, 576]),
    )
    few = st.lists(one, min_size=1, max_size=3).map(tuple)
    heads = st.builds(
        lambda heads, units: (units * unit_bytes,) * heads,
        st.integers(2, 6),
        st.integers(1, 256 // unit_bytes),
    )
    return st.one_of(few, heads)


def pages(unit_bytes: int = 1) -> st.SearchStrategy[Pages]:
    """Caches of less than 1 MiB; every row starts at a whole unit."""
    return st.builds(
        Pages,
        base_bytes=st.integers(0, 70).map(lambda base: base - base % unit_bytes),
        layers=st.integers(1, 3),
        blocks=st.integers(1, 20),
        rows_per_block=st.integers(1, 9),
        row_bytes=row_sizes(unit_bytes),
        gap_bytes=st.sampled_from([0, unit_bytes, 8, 64]),
        blocks_outermost=st.booleans(),
    )


@st.composite
def any_runs(draw: st.DrawFn, cache: Pages, *, once: bool = False) -> Runs:
    """Runs of a cache, some of them empty; with `once` no block is named twice."""
    blocks = draw(st.lists(st.integers(0, cache.blocks - 1), max_size=40, unique=once))
    runs = []
    for block in blocks:
        first = draw(st.integers(0, cache.rows_per_block - 1))
        runs.append((block, first, draw(st.integers(0, cache.rows_per_block - first))))
    return np.array(runs, np.uint32).reshape(-1, 3)


@st.composite
def pages_and_runs(
    draw: st.DrawFn, *, unit_bytes: int = 1, once: bool = False
) -> tuple[Pages, Runs]:
    cache = draw(pages(unit_bytes))
    return cache, draw(any_runs(cache, once=once))


def words_sum(pieces: list[Bytes]) -> int:
    """Sum of little-endian words, each piece extended with zeros to whole words."""
    total = 0
    for piece in pieces:
        padded = np.zeros(-(-len(piece) // WORD) * WORD, np.uint8)
        padded[: len(piece)] = piece
        total += int(padded.view("<u8").sum(dtype=np.uint64))
    return total % 2**64


def bytes_of(memory: _core.Memory) -> Bytes:
    """What the memory holds now, to be compared at once: a view, or a copy from a device."""
    if not memory.on_host:
        return memory.read(0, memory.nbytes)
    view = np.frombuffer(memory, np.uint8)
    view.flags.writeable = False
    return view


def refill(backend: _core.Backend, memory: _core.Memory, seed: int = SEED) -> Bytes:
    """Fill the memory with what it always starts from; return a copy of that."""
    backend.fill(memory, 0, memory.nbytes, seed)
    return memory.read(0, memory.nbytes)


def assert_same(found: Bytes, expected: Bytes, what: str = "") -> None:
    """As NumPy's assert_array_equal; of 1 MiB that is equal, a hundred times as fast."""
    if memoryview(found) != memoryview(expected):
        np.testing.assert_array_equal(found, expected, what)
