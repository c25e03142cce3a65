"""block_copy and swap of every backend, against a NumPy model of the same memories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof import _core

from .checks import Copies, check_block_copy, check_swap, counted_bytes
from .model import Pages, Runs, any_runs, assert_same, bytes_of, pages, refill

# Two of them fit in the memory of the tests, 1 MiB.
SMALL = pages().filter(lambda cache: cache.plan(every_page(cache)).extent_bytes < 400_000)


def every_page(cache: Pages) -> Runs:
    return np.array([(b, 0, cache.rows_per_block) for b in range(cache.blocks)], np.uint32)


@st.composite
def copies(draw: st.DrawFn, *, target_base_bytes: int) -> Copies:
    """Two caches with rows alike, laid out in different ways, and rows to copy between them."""
    target = draw(SMALL)
    written = draw(any_runs(target, once=True))
    target = replace(target, base_bytes=target.base_bytes + target_base_bytes)
    source = replace(
        target,
        base_bytes=draw(st.integers(0, 70)),
        blocks=draw(st.integers(1, 20)),
        rows_per_block=target.rows_per_block + draw(st.integers(0, 1)),
        gap_bytes=draw(st.sampled_from([0, 1, 8, 64])),
        blocks_outermost=draw(st.booleans()),
    )
    read = written.copy()
    for run in read:
        run[0] = draw(st.integers(0, source.blocks - 1))
        run[1] = draw(st.integers(0, source.rows_per_block - int(run[2])))
    return source, read, target, written


@settings(max_examples=30)
@given(case=copies(target_base_bytes=600_000))
def test_block_copy_copies_pages_and_changes_no_other_byte(
    backend: _core.Backend, memory: _core.Memory, case: Copies
) -> None:
    check_block_copy(backend, memory, case)


@pytest.fixture(scope="module")
def other_memory(backend: _core.Backend, policy: str) -> _core.Memory:
    return backend.allocate(1 << 20, policy)


@pytest.fixture(scope="module")
def host_memory(backend: _core.Backend) -> _core.Memory:
    return backend.allocate_host(1 << 20)


@settings(max_examples=20)
@given(case=copies(target_base_bytes=0))
def test_swap_copies_pages_to_another_memory(
    backend: _core.Backend, memory: _core.Memory, other_memory: _core.Memory, case: Copies
) -> None:
    check_swap(backend, memory, other_memory, case)


@settings(max_examples=10)
@given(case=copies(target_base_bytes=0))
def test_swap_copies_pages_to_the_host_and_from_it(
    backend: _core.Backend, memory: _core.Memory, host_memory: _core.Memory, case: Copies
) -> None:
    check_swap(backend, memory, host_memory, case)
    check_swap(backend, host_memory, memory, case)


def test_there_and_back_is_where_it_was(
    backend: _core.Backend, memory: _core.Memory, host_memory: _core.Memory
) -> None:
    # A device's cache, layer by layer, and a host's, block by block; pages of keys and values.
    device = Pages(0, 4, 30, 16, (64, 64), 0)
    host = replace(device, blocks_outermost=True, base_bytes=4096)
    order = np.random.default_rng(1).permutation(30)
    runs = np.array([(block, 0, 16) for block in order], np.uint32)
    plan_out = _core.CopyPlan(device.plan(runs), host.plan(every_page(host)))
    plan_in = _core.CopyPlan(host.plan(every_page(host)), device.plan(runs))
    before = refill(backend, memory)
    out = backend.swap(memory, host_memory, plan_out)
    assert backend.zero(memory, device.plan(runs)).nbytes == 4 * 30 * 16 * 128
    assert not bytes_of(memory)[: 4 * 30 * 16 * 128].any()
    back = backend.swap(host_memory, memory, plan_in)
    assert (
        out.nbytes == back.nbytes == counted_bytes(backend, memory, host_memory, 4 * 30 * 16 * 128)
    )
    assert_same(bytes_of(memory), before)


def one_run(*run: int) -> Runs:
    return np.array([run], np.uint32)


def test_a_copy_onto_what_it_reads_is_refused(
    backend: _core.Backend, memory: _core.Memory, other_memory: _core.Memory
) -> None:
    cache = Pages(0, 2, 4, 4, (16,), 0)
    shifted = replace(cache, base_bytes=1)
    before = refill(backend, memory)
    # Rows 0 and 1 of block 1 to rows 1 and 2; the last byte of a row to the first of the next.
    by_a_row = _core.CopyPlan(cache.plan(one_run(1, 0, 2)), cache.plan(one_run(1, 1, 2)))
    by_a_byte = _core.CopyPlan(shifted.plan(one_run(0, 0, 1)), cache.plan(one_run(0, 1, 1)))
    for plan in (by_a_row, by_a_byte):
        with pytest.raises(ValueError, match="reads bytes that it writes"):
            backend.block_copy(memory, plan)
        with pytest.raises(ValueError, match="between two memories: try block_copy"):
            backend.swap(memory, memory, plan)
    assert_same(bytes_of(memory), before)
    assert backend.swap(memory, other_memory, by_a_row).nbytes == 2 * 2 * 2 * 16
    # Neighbours that only touch: row 0 to row 1.
    beside = _core.CopyPlan(cache.plan(one_run(0, 0, 1)), cache.plan(one_run(0, 1, 1)))
    assert backend.block_copy(memory, beside).nbytes == 2 * 2 * 16


def test_a_page_may_be_read_twice_but_not_written_twice() -> None:
    cache = Pages(0, 1, 4, 4, (16,), 0)
    same = np.array([(1, 0, 2), (1, 0, 2)], np.uint32)
    apart = np.array([(2, 0, 2), (3, 0, 2)], np.uint32)
    assert _core.CopyPlan(cache.plan(same), cache.plan(apart)).nbytes == 2 * 2 * 16
    with pytest.raises(ValueError, match="target of a copy overlaps itself"):
        _core.CopyPlan(cache.plan(apart), cache.plan(same))


@pytest.mark.parametrize(
    ("changes", "run", "message"),
    [
        ({"layers": 3}, (0, 0, 2), "layers: 2 and 3"),
        ({"row_bytes": (16, 8, 8)}, (0, 0, 2), "segments: 2 and 3"),
        ({"row_bytes": (16, 9)}, (0, 0, 2), "row_bytes: 8 and 9"),
        ({}, (0, 0, 3), "rows of a run: 2 and 3"),
    ],
)
def test_plans_that_are_not_alike_are_refused(
    changes: dict[str, Any], run: tuple[int, ...], message: str
) -> None:
    cache = Pages(0, 2, 4, 4, (16, 8), 0)
    other = replace(cache, **changes)
    with pytest.raises(ValueError, match=f"differ in {message}"):
        _core.CopyPlan(cache.plan(one_run(0, 0, 2)), other.plan(one_run(*run)))
    with pytest.raises(ValueError, match="differ in runs: 1 and 0"):
        _core.CopyPlan(cache.plan(one_run(0, 0, 2)), cache.plan(np.empty((0, 3), np.uint32)))
