"""Runs and slots of block tables, against positions counted token by token."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvprof.errors import DoesNotFitError
from kvprof.layout import All, Last, Once
from kvprof.measure.block_tables import Tables, dealt_tables, fresh_tables, renumbered
from kvprof.measure.tables import (
    last_slots,
    run_slots,
    shuffled,
    table_runs,
)
from kvprof.model import Model


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lengths=st.lists(st.integers(0, 150), min_size=1, max_size=6), block_size=st.integers(1, 40))
def test_runs_hold_exactly_the_rows_that_each_sequence_must_keep(
    small_model: Model, placed: Callable, lengths: list[int], block_size: int
) -> None:
    plan, _ = placed(small_model, 200, block_size)
    tables = fresh_tables(plan, lengths, 0)
    for index, group in enumerate(plan.groups):
        runs = table_runs(tables, group, index)
        expected = []
        for ids, length in zip(tables.ids[index], lengths, strict=True):
            first_block = group.blocks(length).start
            for position in _kept_positions(group.keep, length):
                block, row = divmod(position, group.rows_per_block)
                expected.append(int(ids[block - first_block]) * group.rows_per_block + row)
        assert run_slots(runs, group.rows_per_block).tolist() == expected
        assert np.concatenate(last_slots(tables, group, index)).tolist() == expected


def _kept_positions(keep: object, tokens: int) -> list[int]:
    if isinstance(keep, Once):
        return [0] if tokens else []
    if isinstance(keep, Last):
        return [p for p in range(tokens) if p > tokens - 1 - keep.n]
    assert isinstance(keep, All)
    return list(range(tokens))


def test_a_fresh_pool_gives_ascending_blocks(small_model: Model, placed: Callable) -> None:
    plan, _ = placed(small_model, 64, 8)
    tables = fresh_tables(plan, [64] * 5, 0)
    for index, group in enumerate(plan.groups):
        blocks = table_runs(tables, group, index)[:, 0].astype(np.int64)
        assert np.all(np.diff(blocks) > 0)


def test_shuffled_runs_are_the_same_rows_in_other_blocks() -> None:
    runs = np.array([[0, 0, 16], [1, 0, 16], [2, 3, 5]], np.uint32)
    moved = shuffled(runs, 1000, seed=3)
    assert moved[:, 1:].tolist() == runs[:, 1:].tolist()
    assert len(set(moved[:, 0].tolist())) == 3
    assert moved[:, 0].max() < 1000
    assert moved[:, 0].tolist() != [0, 1, 2]


def test_dealt_sequences_hold_what_fresh_ones_do_in_other_blocks(
    small_model: Model, placed: Callable
) -> None:
    plan, _ = placed(small_model, 64, 8)
    order = [np.arange(group.num_blocks, dtype=np.uint32)[::-1] for group in plan.groups]
    aged, fresh = dealt_tables(plan, order, [64, 20], 0), fresh_tables(plan, [64, 20], 0)
    for index, group in enumerate(plan.groups):
        old, new = (table_runs(one, group, index) for one in (aged, fresh))
        assert old[:, 1:].tolist() == new[:, 1:].tolist()
        assert (old[:, 0] + new[:, 0]).tolist() == [group.num_blocks - 1] * len(old)


def test_more_blocks_than_there_are(small: Callable, placed: Callable) -> None:
    plan, _ = placed(small("gqa"), 64, 8)
    with pytest.raises(DoesNotFitError, match="group 0 needs 2 blocks and has 1"):
        dealt_tables(plan, [np.array([7], np.uint32)], [16], 0)


def test_tables_of_a_fresh_pool_share_what_the_aged_ones_share() -> None:
    shared = np.array([9, 4], np.uint32)
    aged = Tables(
        (48, 0, 40),
        0,
        ((np.append(shared, 2), np.zeros(0, np.uint32), np.append(shared, 7)),),
    )
    (fresh,) = renumbered(aged).ids
    assert [table.tolist() for table in fresh] == [[0, 1, 2], [], [0, 1, 3]]


def test_no_sequence_has_no_table() -> None:
    assert renumbered(Tables((), 0, ((), ()))).ids == ((), ())


def test_shared_rows_are_there_once_for_each_reader(small: Callable, placed: Callable) -> None:
    plan, _ = placed(small("gqa"), 64, 8)
    ids = (np.array([3, 1], np.uint32), np.array([3, 5], np.uint32))
    runs = table_runs(Tables((12, 16), 0, (ids,)), plan.groups[0], 0)
    assert runs.tolist() == [[3, 0, 8], [1, 0, 4], [3, 0, 8], [5, 0, 8]]


@pytest.mark.parametrize(
    ("runs", "rows", "slots"),
    [
        ([[5, 2, 3]], 16, [82, 83, 84]),  # 5 * 16 + 2
        ([[1, 0, 2], [0, 1, 1]], 2, [2, 3, 1]),
        ([[4, 0, 1]], 1, [4]),
    ],
)
def test_slots_by_hand(runs: list[list[int]], rows: int, slots: list[int]) -> None:
    assert run_slots(np.array(runs, np.uint32), rows).tolist() == slots
