"""CacheAllocator in cases worked out by hand, and the arguments that it refuses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvprof._core import CacheAllocator, Group, OutOfBlocks


def group(**arguments: Any) -> Group:
    return Group(**{"num_blocks": 1000, "rows_per_block": 1, **arguments})


@pytest.mark.parametrize(
    ("spec", "tokens", "blocks"),
    [
        (group(rows_per_block=16), 4097, 257),
        # Positions 3072..4095: blocks 192..255.
        (group(rows_per_block=16, keep="last", keep_entries=1024), 4096, 64),
        # Positions 3073..4096: blocks 192..256, the first one left by one token only.
        (group(rows_per_block=16, keep="last", keep_entries=1024), 4097, 65),
        (group(rows_per_block=16, keep="chunk", keep_entries=8192), 8192, 512),
        (group(rows_per_block=16, keep="chunk", keep_entries=8192), 8193, 1),
        # One entry per 128 tokens: 7 entries, and a tail of 104 at positions 896..999.
        (group(rows_per_block=4, entry_tokens=128), 1000, 2),
        (group(rows_per_block=16, keep="tail", keep_entries=128), 1000, 7),
        (group(rows_per_block=16, keep="tail", keep_entries=128), 1024, 0),
        (group(keep="once", clock="sequence"), 0, 0),
        (group(keep="once", clock="sequence"), 2**40, 1),
        (group(clock="encoder", rows_per_block=16), 5, 0),
        (group(), 2**40, 2**40),
    ],
)
def test_blocks_needed_by_hand(spec: Group, tokens: int, blocks: int) -> None:
    assert CacheAllocator([spec]).blocks_needed(0, tokens) == blocks


def test_append_may_use_the_blocks_that_it_frees() -> None:
    # Window 4, 2 rows: 5 tokens hold positions 1..4 in blocks 0..2, 7 hold 3..6 in blocks 1..3.
    window = group(num_blocks=3, rows_per_block=2, keep="last", keep_entries=4)
    allocator = CacheAllocator([window])
    sequence = allocator.admit(5)
    assert allocator.num_free(0) == 0
    allocator.append(sequence, 2)
    index, ids = allocator.block_table(sequence, 0)
    assert (index, ids.tolist()) == (1, [1, 2, 0])


def test_append_may_not_use_a_freed_block_that_another_sequence_shares() -> None:
    window = group(num_blocks=2, rows_per_block=2, keep="last", keep_entries=4)
    allocator = CacheAllocator([window])
    sequence = allocator.admit(4)
    child = allocator.fork(sequence)
    with pytest.raises(OutOfBlocks) as caught:
        allocator.append(sequence, 2)
    assert caught.value.args[1:] == (0, 1, 0)
    allocator.release(child)
    allocator.append(sequence, 2)


def test_failure_in_a_later_group_leaves_the_earlier_ones_alone() -> None:
    roomy, tight = group(num_blocks=10), group(num_blocks=2)
    allocator = CacheAllocator([roomy, tight])
    sequence = allocator.admit(2)
    for operation, arguments in ((allocator.admit, (3,)), (allocator.append, (sequence, 5))):
        with pytest.raises(OutOfBlocks, match="group 1 needs") as caught:
            operation(*arguments)
        assert caught.value.args[1] == 1
        assert (allocator.num_free(0), allocator.num_free(1)) == (8, 0)
        assert allocator.sequences.tolist() == [sequence]
        assert allocator.tokens(sequence) == 2


def test_fork_shares_full_blocks_and_copies_the_open_one_and_the_state() -> None:
    state = group(num_blocks=8, keep="once", clock="sequence")
    allocator = CacheAllocator([group(num_blocks=8, rows_per_block=4), state])
    parent = allocator.admit(10)
    child = allocator.fork(parent)
    assert allocator.block_table(parent, 0)[1].tolist() == [0, 1, 2]
    assert allocator.block_table(child, 0)[1].tolist() == [0, 1, 3]
    assert allocator.block_table(child, 1)[1].tolist() == [1]
    allocator.release(parent)
    assert (allocator.num_free(0), allocator.num_free(1)) == (5, 7)
    assert allocator.fork(child) == child + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_blocks": -1}, "num_blocks must be .*got -1"),
        ({"num_blocks": 2**32 - 1}, "num_blocks must be .*got 4294967295"),
        ({"rows_per_block": 0}, "rows_per_block must be .*got 0"),
        ({"entry_tokens": 0}, "entry_tokens must be .*got 0"),
        ({"keep": "last", "keep_entries": 0}, "keep_entries .*got 0"),
        ({"keep": "all", "keep_entries": 5}, "keep_entries .*got 5"),
        ({"keep": "some"}, "keep must be one of all, chunk, last, once, tail: got 'some'"),
        ({"clock": "wall"}, "clock must be one of decoder, encoder, sequence: got 'wall'"),
    ],
)
def test_group_refuses_parameters_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Group(**{"num_blocks": 1, "rows_per_block": 1, **arguments})


def test_arguments_out_of_range_are_refused_with_their_value() -> None:
    allocator = CacheAllocator([group()])
    sequence = allocator.admit(2)
    calls: list[tuple[Callable[..., Any], tuple[int, ...], int]] = [
        (allocator.admit, (-1,), -1),
        (allocator.admit, (2**40 + 1,), 2**40 + 1),
        (allocator.admit, (1, -2), -2),
        (allocator.append, (sequence, -3), -3),
        (allocator.append, (sequence, 2**40 - 1), 2**40 + 1),
        (allocator.append, (sequence, 2**63), 2**63),
        (allocator.blocks_needed, (0, -4), -4),
    ]
    for operation, arguments, value in calls:
        with pytest.raises(ValueError, match=f"got {value}$"):
            operation(*arguments)
    assert allocator.tokens(sequence) == 2


def test_unknown_groups_and_sequences_are_refused() -> None:
    allocator = CacheAllocator([group()])
    for index in (-1, 1):
        with pytest.raises(IndexError, match="group"):
            allocator.num_free(index)
    for sequence in (-1, 0):
        with pytest.raises(KeyError, match=f"no live sequence {sequence}"):
            allocator.append(sequence)


def test_numpy_integers_count_and_floats_do_not() -> None:
    allocator = CacheAllocator([group()])
    assert allocator.tokens(allocator.admit(np.int64(2))) == 2  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        allocator.admit(2.0)  # type: ignore[arg-type]
