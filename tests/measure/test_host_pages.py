"""What the host sees of a memory: the same bytes as views and as copies, and how few copies."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from kvprof._core import CpuBackend, Memory
from kvprof.measure.host_pages import contents, copied, host_pages, rows_of, viewed
from kvprof.measure.pool import Pool
from kvprof.measure.regions import Region, map_regions
from kvprof.page_order import PageOrder


class Counted:
    """A memory of the host of which every copy is noted down."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.reads: list[tuple[int, int]] = []

    def read(self, offset_bytes: int, nbytes: int) -> np.ndarray:
        self.reads.append((offset_bytes, offset_bytes + nbytes))
        return self.memory.read(offset_bytes, nbytes)


@pytest.fixture(params=["layer", "block"])
def regions(
    request: pytest.FixtureRequest, small_model: object, placed: Callable
) -> tuple[Region, ...]:
    plan, _ = placed(small_model, 100, 16, PageOrder(outer=request.param))
    return map_regions(plan)


def test_copies_hold_what_views_show(pool: Pool, regions: tuple[Region, ...]) -> None:
    for region in regions:
        blocks = np.array([0, 1, 2, 5, region.blocks - 1, 1], np.uint32)
        views, copies = viewed(pool.memory, region, blocks), copied(pool.memory, region, blocks)
        assert copies.blocks.tolist() == sorted({*blocks.tolist()})
        assert len(views.layers) == len(copies.layers) == len(region.part.layers)
        for view, copy in zip(views.layers, copies.layers, strict=True):
            found, expected = copy[copies.places(blocks)], view[views.places(blocks)]
            assert np.array_equal(found, expected)
            assert len(np.unique(expected)) > 1, "nothing would be told by zeros"


def test_views_change_with_the_memory_and_copies_do_not(
    backend: CpuBackend, regions: tuple[Region, ...]
) -> None:
    region = regions[0]
    _, end = region.extent
    memory = backend.allocate(end)
    view, copy = viewed(memory, region, np.arange(2)), copied(memory, region, np.arange(2))
    backend.fill(memory, 0, end, 5)
    assert view.layers[0][0].any()
    assert not copy.layers[0].any()
    assert host_pages(memory, region, np.arange(2)).layers[0].base is not None


def test_each_byte_is_copied_once_and_neighbours_together(
    pool: Pool, regions: tuple[Region, ...]
) -> None:
    for region in regions:
        counted = Counted(pool.memory)
        copied(counted, region, np.array([3, 1, 2, 7, 3]))  # type: ignore[arg-type]
        # Blocks 1 to 3 and block 7: a piece each in all layers, or in each of them.
        assert len(counted.reads) == 2 * (1 if region.blocks_first else len(region.part.layers))
        ordered = sorted(counted.reads)
        assert all(a[1] <= b[0] for a, b in pairwise(ordered))
        assert ordered[-1][1] <= region.extent[1]


def test_of_too_much_some_are_copied_that_are_spread_evenly_up_to_the_last(
    pool: Pool, small: Callable, placed: Callable
) -> None:
    # 3 layers x 16 rows x 256 B = 12 KiB a block.
    plan, _ = placed(small("gqa"), 100, 16)
    (region,) = map_regions(plan)
    scattered = np.arange(0, 1000, 2)
    few = copied(pool.memory, region, scattered, most_reads=3 * 5)
    assert few.blocks.tolist() == [0, 248, 498, 748, 998]
    assert few.has(scattered).sum() == 5
    small_part = copied(pool.memory, region, np.arange(1000), most_bytes=10 * 12 * 1024)
    assert small_part.blocks.tolist() == list(range(990, 1000))
    both = copied(pool.memory, region, scattered, most_bytes=4 * 12 * 1024, most_reads=3 * 9)
    assert both.blocks.tolist() == [0, 332, 664, 998]
    assert copied(pool.memory, region, scattered, most_bytes=1).blocks.tolist() == [998]


def test_no_blocks_are_no_pages(pool: Pool, regions: tuple[Region, ...]) -> None:
    none = copied(pool.memory, regions[0], np.zeros(0, np.uint32))
    assert len(none.blocks) == 0
    assert not none.has(np.array([0])).any()


def test_bytes_of_the_host_are_not_copied(pool: Pool) -> None:
    seen = contents(pool.memory, 100, 200)
    assert seen.tobytes() == pool.memory.read(100, 100).tobytes()
    assert np.shares_memory(seen, contents(pool.memory, 0, 1000))


def test_rows_of_a_memory_are_those_of_its_bytes(backend: CpuBackend) -> None:
    memory = backend.allocate(7 * 48)
    backend.fill(memory, 0, memory.nbytes, 2)
    rows = memory.read(0, memory.nbytes).reshape(7, 48)
    for numbers in ([], [3], [5, 6, 0, 1], [6, 6, 2, 4, 5]):
        wanted = np.array(numbers, np.int64)
        assert np.array_equal(rows_of(memory, wanted, 48), rows[wanted])
        assert np.array_equal(rows_of(rows, wanted, 48), rows[wanted])
