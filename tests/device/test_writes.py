"""append and zero of every backend, against a NumPy model of the same memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof import _core

from .checks import check_append, check_zero, memory_of, random_bytes
from .model import Pages, Runs, bytes_of, pages, pages_and_runs, refill


@pytest.mark.parametrize("in_memory", [False, True], ids=["host rows", "memory rows"])
@settings(max_examples=20)
@given(cache=pages(), source_rows=st.one_of(st.integers(1, 5), st.just(200)), data=st.data())
def test_append_writes_the_rows_of_its_slots_and_nothing_else(
    backend: _core.Backend,
    memory: _core.Memory,
    in_memory: bool,
    cache: Pages,
    source_rows: int,
    data: st.DataObject,
) -> None:
    last_slot = cache.blocks * cache.rows_per_block - 1
    slots = data.draw(st.lists(st.integers(-1, last_slot), max_size=60))
    row_bytes = sum(cache.row_bytes)
    rows = random_bytes(source_rows * row_bytes, 3).reshape(source_rows, row_bytes)
    check_append(backend, memory, cache, slots, rows, in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [False, True], ids=["host rows", "memory rows"])
def test_layers_take_their_rows_one_after_the_other(
    backend: _core.Backend, memory: _core.Memory, policy: str, in_memory: bool
) -> None:
    # Two layers of four slots of 8 bytes. Three tokens, the second of them padding that counts:
    # layer 0 takes rows 0 and 2, layer 1 rows 3 and 5, which of four rows is row 1.
    cache = Pages(0, 2, 1, 4, (8,), 0)
    rows = np.repeat(np.arange(1, 5, dtype=np.uint8), 8)
    plan = _core.SlotPlan(**cache.placement, rows_per_block=4, slots=np.array([2, -1, 0], np.int64))
    source = memory_of(backend, policy, rows) if in_memory else rows
    for variant in backend.variants("append"):
        memory.write(0, bytes(64))
        result = backend.append(memory, plan, source, variant)
        # Slot 0 is of the third token, slot 2 of the first.
        held = bytes_of(memory)[:64].reshape(8, 8)
        assert held[:, 0].tolist() == [3, 0, 1, 0, 2, 0, 4, 0]
        assert np.all(held == held[:, :1])
        # Two tokens in two layers, read as well where they come from a memory.
        assert result.nbytes == 2 * 2 * 8 * (2 if in_memory else 1)


def test_append_does_not_write_its_own_source(backend: _core.Backend, memory: _core.Memory) -> None:
    plan = _core.SlotPlan(
        **Pages(0, 1, 4, 4, (16,), 0).placement, rows_per_block=4, slots=np.array([3], np.int64)
    )
    with pytest.raises(ValueError, match="is the memory that it writes"):
        backend.append(memory, plan, memory)


@pytest.mark.parametrize("source_bytes", [0, 15, 17])
def test_append_needs_whole_source_rows(
    backend: _core.Backend, memory: _core.Memory, policy: str, source_bytes: int
) -> None:
    cache = Pages(0, 1, 4, 4, (16,), 0)
    plan = _core.SlotPlan(**cache.placement, rows_per_block=4, slots=np.array([3], np.int64))
    before = refill(backend, memory)
    with pytest.raises(ValueError, match=f"source has {source_bytes} bytes"):
        backend.append(memory, plan, bytes(source_bytes))
    if source_bytes > 0:
        with pytest.raises(ValueError, match=f"source has {source_bytes} bytes"):
            backend.append(memory, plan, backend.allocate(source_bytes, policy))
    with pytest.raises(ValueError, match="contiguous"):
        backend.append(memory, plan, np.zeros((16, 2), np.uint8)[:, 0])
    np.testing.assert_array_equal(bytes_of(memory), before)


def test_append_refuses_rows_of_a_memory_that_is_gone(
    backend: _core.Backend, memory: _core.Memory, policy: str
) -> None:
    cache = Pages(0, 1, 4, 4, (16,), 0)
    plan = _core.SlotPlan(**cache.placement, rows_per_block=4, slots=np.array([3], np.int64))
    source = backend.allocate(16, policy)
    source.release()
    with pytest.raises(ValueError, match="released"):
        backend.append(memory, plan, source)


@settings(max_examples=30)
@given(case=pages_and_runs(once=True))
def test_zero_clears_its_plan_and_nothing_else(
    backend: _core.Backend, memory: _core.Memory, case: tuple[Pages, Runs]
) -> None:
    check_zero(backend, memory, *case)
