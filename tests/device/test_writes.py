"""append and zero of every backend, against a NumPy model of the same memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof import _core

from .model import Bytes, Pages, Runs, assert_same, bytes_of, pages, pages_and_runs, refill


def write_row(memory: Bytes, cache: Pages, layer: int, slot: int, row_of_source: Bytes) -> None:
    block, row = divmod(slot, cache.rows_per_block)
    column = 0
    for segment, row_bytes in enumerate(cache.row_bytes):
        start = cache.address(layer, block, segment, row)
        memory[start : start + row_bytes] = row_of_source[column : column + row_bytes]
        column += row_bytes


@settings(max_examples=30)
@given(cache=pages(), source_rows=st.integers(1, 5), data=st.data())
def test_append_writes_the_rows_of_its_slots_and_nothing_else(
    backend: _core.CpuBackend,
    memory: _core.Memory,
    cache: Pages,
    source_rows: int,
    data: st.DataObject,
) -> None:
    last_slot = cache.blocks * cache.rows_per_block - 1
    slots = data.draw(st.lists(st.integers(-1, last_slot), max_size=60))
    rng = np.random.default_rng(3)
    source = rng.integers(0, 256, (source_rows, sum(cache.row_bytes)), np.uint8)
    expected = refill(backend, memory).copy()
    for layer in range(cache.layers):
        for token, slot in enumerate(slots):
            if slot >= 0:
                row = source[(layer * len(slots) + token) % source_rows]
                write_row(expected, cache, layer, slot, row)
    plan = _core.SlotPlan(
        **cache.placement,
        rows_per_block=cache.rows_per_block,
        slots=np.array(slots, np.int64),
    )
    written_slots = {slot for slot in slots if slot >= 0}
    for variant in ["", *backend.variants("append")]:
        refill(backend, memory)
        result = backend.append(memory, plan, source, variant)
        assert_same(bytes_of(memory), expected, variant)
        assert result.nbytes == len(written_slots) * sum(cache.row_bytes) * cache.layers
        assert result.checksum == 0


@pytest.mark.parametrize("source_bytes", [0, 15, 17])
def test_append_needs_whole_source_rows(
    backend: _core.CpuBackend, memory: _core.Memory, source_bytes: int
) -> None:
    cache = Pages(0, 1, 4, 4, (16,), 0)
    plan = _core.SlotPlan(**cache.placement, rows_per_block=4, slots=np.array([3], np.int64))
    with pytest.raises(ValueError, match=f"source has {source_bytes} bytes"):
        backend.append(memory, plan, bytes(source_bytes))
    with pytest.raises(ValueError, match="contiguous"):
        backend.append(memory, plan, np.zeros((16, 2), np.uint8)[:, 0])


@settings(max_examples=30)
@given(case=pages_and_runs(once=True))
def test_zero_clears_its_plan_and_nothing_else(
    backend: _core.CpuBackend, memory: _core.Memory, case: tuple[Pages, Runs]
) -> None:
    cache, runs = case
    expected = refill(backend, memory).copy()
    for piece in cache.pieces(runs):
        expected[piece] = 0
    plan = cache.plan(runs)
    for variant in ["", *backend.variants("zero")]:
        refill(backend, memory)
        result = backend.zero(memory, plan, variant)
        assert_same(bytes_of(memory), expected, variant)
        assert (result.nbytes, result.checksum) == (plan.nbytes, 0)
