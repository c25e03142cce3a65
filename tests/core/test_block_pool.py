"""BlockPool against a plain-Python stack and a counter of references."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kvprof._core import BlockPool, OutOfBlocks, time_block_operations

POOL_BLOCKS = 12


def ids(*blocks: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    return np.array(blocks, dtype=np.uint32)


class PoolMachine(RuleBasedStateMachine):
    """Random calls, valid or not; the model keeps a list as the stack and a Counter."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(POOL_BLOCKS)
        self.stack = list(reversed(range(POOL_BLOCKS)))
        self.references: Counter[int] = Counter()

    @rule(count=st.integers(0, POOL_BLOCKS + 2))
    def allocate(self, count: int) -> None:
        if count > len(self.stack):
            with pytest.raises(OutOfBlocks) as caught:
                self.pool.allocate(count)
            assert caught.value.args[1:] == (count, len(self.stack))
            return
        expected = [self.stack.pop() for _ in range(count)]
        got = self.pool.allocate(count)
        assert got.dtype == np.uint32
        assert got.tolist() == expected
        self.references.update(expected)

    @rule(blocks=st.lists(st.integers(0, POOL_BLOCKS), max_size=6))
    def free(self, blocks: list[int]) -> None:
        if any(count > self.references[block] for block, count in Counter(blocks).items()):
            with pytest.raises(ValueError, match="nothing was changed"):
                self.pool.free(ids(*blocks))
            return
        self.pool.free(ids(*blocks))
        for block in blocks:
            self.references[block] -= 1
            if self.references[block] == 0:
                self.stack.append(block)

    @rule(blocks=st.lists(st.integers(0, POOL_BLOCKS), max_size=4))
    def share(self, blocks: list[int]) -> None:
        if any(self.references[block] == 0 for block in blocks):
            with pytest.raises(ValueError, match="nothing was changed"):
                self.pool.share(ids(*blocks))
            return
        self.pool.share(ids(*blocks))
        self.references.update(blocks)

    @invariant()
    def agrees(self) -> None:
        assert self.pool.num_free == len(self.stack)
        assert [self.pool.reference_count(block) for block in range(POOL_BLOCKS)] == [
            self.references[block] for block in range(POOL_BLOCKS)
        ]


TestPoolMachine = PoolMachine.TestCase


def test_fresh_pool_ascends_and_freed_ids_come_back_last_in_first_out() -> None:
    pool = BlockPool(6)
    assert pool.allocate(3).tolist() == [0, 1, 2]
    pool.free(ids(0, 2))
    assert pool.allocate(4).tolist() == [2, 0, 3, 4]


def test_shared_block_is_free_after_its_last_reference() -> None:
    pool = BlockPool(2)
    block = pool.allocate(1)
    pool.share(block)
    pool.free(block)
    assert (pool.num_free, pool.reference_count(0)) == (1, 1)
    pool.free(block)
    assert (pool.num_free, pool.reference_count(0)) == (2, 0)
    with pytest.raises(ValueError, match="block 0 is not allocated"):
        pool.free(block)


def test_refused_free_restores_the_free_list_and_its_order() -> None:
    pool = BlockPool(4)
    pool.allocate(4)
    pool.free(ids(3))
    with pytest.raises(ValueError, match=r"block 1 .* listed more often"):
        pool.free(ids(0, 1, 1))
    assert (pool.num_free, pool.reference_count(0), pool.reference_count(1)) == (1, 1, 1)
    pool.free(ids(0))
    assert pool.allocate(2).tolist() == [0, 3]


def test_one_call_may_drop_several_references_of_a_block() -> None:
    pool = BlockPool(1)
    block = pool.allocate(1)
    pool.share(block)
    pool.free(ids(0, 0))
    assert pool.num_free == 1


def test_shortage_says_what_was_asked_and_what_is_free() -> None:
    pool = BlockPool(3)
    with pytest.raises(OutOfBlocks, match="needs 1099511627776, has 3 free") as caught:
        pool.allocate(2**40)
    assert isinstance(caught.value, MemoryError)
    assert caught.value.args[1:] == (2**40, 3)


def test_empty_pool_is_legal() -> None:
    pool = BlockPool(0)
    assert (pool.num_blocks, pool.num_free, pool.allocate(0).size) == (0, 0, 0)
    pool.free(ids())
    with pytest.raises(OutOfBlocks):
        pool.allocate(1)


@pytest.mark.parametrize("num_blocks", [-1, 2**32 - 1, 2**63, -(2**70)])
def test_impossible_size_is_refused_with_its_value(num_blocks: int) -> None:
    with pytest.raises(ValueError, match=f"got {num_blocks}$"):
        BlockPool(num_blocks)


@pytest.mark.parametrize("blocks", [[0.0], np.zeros(1), ["0"], [None], [True]])
def test_ids_that_are_no_integers_are_refused(blocks: Any) -> None:
    pool = BlockPool(1)
    pool.allocate(1)
    with pytest.raises(TypeError, match="blocks must be integers"):
        pool.free(blocks)
    assert pool.num_free == 0


@pytest.mark.parametrize("blocks", [[-1], [2**32], np.array([2**64 - 1], np.uint64), [[0]]])
def test_ids_are_checked_before_they_are_narrowed(blocks: Any) -> None:
    pool = BlockPool(1)
    pool.allocate(1)
    with pytest.raises(ValueError, match="blocks must"):
        pool.free(blocks)
    assert pool.num_free == 0


@pytest.mark.parametrize("blocks", [[2, 0], np.array([2, 9, 0], np.int64)[::2]])
def test_ids_may_be_of_any_integer_type_and_stride(blocks: Any) -> None:
    pool = BlockPool(3)
    pool.allocate(3)
    pool.free(blocks)
    assert pool.allocate(2).tolist() == [0, 2]


def test_counts_and_ids_out_of_range_are_refused() -> None:
    pool = BlockPool(3)
    with pytest.raises(ValueError, match=r"count must be .*got -1"):
        pool.allocate(-1)
    with pytest.raises(TypeError):
        pool.allocate(1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="block 3 is out of range"):
        pool.reference_count(3)
    with pytest.raises(ValueError, match=r"block must be .*got -1"):
        pool.reference_count(-1)


def test_timing_needs_a_batch_that_fits() -> None:
    assert time_block_operations(64, 16, 100) > 0.0
    for batch in (0, 65, -1):
        with pytest.raises(ValueError, match=f"batch must be .*got {batch}$"):
            time_block_operations(64, batch, 1)
