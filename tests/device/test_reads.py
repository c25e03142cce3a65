"""decode_read and sparse_read of every backend, against a NumPy model of the same memory."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from kvprof import _core

from .checks import all_variants, check_decode_read, check_sparse_read
from .model import Pages, Runs, pages_and_runs, refill, words_sum


@settings(max_examples=30)
@given(case=pages_and_runs())
def test_decode_read_sums_every_run(
    backend: _core.Backend, memory: _core.Memory, case: tuple[Pages, Runs]
) -> None:
    check_decode_read(backend, memory, *case)


@settings(max_examples=20)
@given(index=pages_and_runs(), rows=pages_and_runs())
def test_sparse_read_sums_its_index_and_its_rows(
    backend: _core.Backend,
    memory: _core.Memory,
    index: tuple[Pages, Runs],
    rows: tuple[Pages, Runs],
) -> None:
    check_sparse_read(backend, memory, index, rows)


def test_a_sparse_read_of_the_same_bytes_counts_them_twice(
    backend: _core.Backend, memory: _core.Memory
) -> None:
    # One row of 12 bytes of 1: a word of ones, and 4 bytes more.
    memory.write(40, bytes([1]) * 12)
    plan = Pages(40, 1, 1, 1, (12,), 0).plan(np.array([(0, 0, 1)], np.uint32))
    for variant in all_variants(backend, "sparse_read"):
        result = backend.sparse_read(memory, plan, plan, variant)
        assert result.nbytes == 24
        assert result.checksum == 2 * (0x0101010101010101 + 0x01010101)


@pytest.mark.parametrize("rows", [1, 2])
def test_heads_that_touch_are_summed_head_by_head(
    backend: _core.Backend, memory: _core.Memory, rows: int
) -> None:
    # Two heads of a full page of 12-byte (24-byte) runs, one behind the other, of bytes 1: a head
    # is 12 bytes = a word of ones and 4 bytes more, or 3 words. As one span of 24 bytes the first
    # two would make 3 words as well.
    memory.write(0, bytes([1]) * memory.nbytes)
    word, half = 0x0101010101010101, 0x01010101
    page: dict[str, Any] = {"base_bytes": 5, "layer_stride_bytes": 0, "block_stride_bytes": 24}
    segments = [(0, 12), (12 * rows, 12)]
    runs = np.array([(0, 0, rows)], np.uint32)
    plan = _core.PagePlan(**page, layers=1, segments=segments, runs=runs)
    expected = {1: 2 * (word + half), 2: 6 * word}[rows]
    for variant in all_variants(backend, "decode_read"):
        assert backend.decode_read(memory, plan, variant).checksum == expected


def test_one_long_run_is_read_whole(backend: _core.Backend, memory: _core.Memory) -> None:
    held = refill(backend, memory)
    plan = _core.PagePlan(
        base_bytes=3,
        layer_stride_bytes=0,
        block_stride_bytes=0,
        layers=1,
        segments=[(0, 77)],
        runs=np.array([(0, 1, 9_999)], np.uint32),
    )
    expected = words_sum([held[80 : 80 + 9_999 * 77]])
    for variant in all_variants(backend, "decode_read"):
        assert backend.decode_read(memory, plan, variant).checksum == expected


def test_thousands_of_short_runs_are_read_whole(
    backend: _core.Backend, memory: _core.Memory
) -> None:
    cache = Pages(8, 2, 2_000, 2, (24, 65), 3)
    held = refill(backend, memory)
    order = np.random.default_rng(0).permutation(cache.blocks)
    runs = np.stack([order, np.zeros_like(order), np.full_like(order, 2)], 1).astype(np.uint32)
    expected = words_sum([held[piece] for piece in cache.pieces(runs)])
    for variant in all_variants(backend, "decode_read"):
        assert backend.decode_read(memory, cache.plan(runs), variant).checksum == expected


def test_layers_may_share_pages_when_they_are_only_read(
    backend: _core.Backend, memory: _core.Memory
) -> None:
    held = refill(backend, memory)
    shared: dict[str, Any] = {"base_bytes": 0, "layer_stride_bytes": 0, "block_stride_bytes": 64}
    runs = np.array([(2, 0, 1)], np.uint32)
    plan = _core.PagePlan(**shared, layers=5, segments=[(0, 64)], runs=runs)
    expected = 5 * words_sum([held[128:192]]) % 2**64
    assert backend.decode_read(memory, plan).checksum == expected
    with pytest.raises(ValueError, match="overlaps"):
        backend.state_update(memory, plan, addend=1)
    with pytest.raises(ValueError, match="overlaps"):
        backend.zero(memory, plan)
