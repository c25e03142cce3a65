"""Address plans, with sizes and extents worked out by hand."""

from typing import Any

import numpy as np
import pytest

from kvprof import _core

PLACEMENT: dict[str, Any] = {
    "base_bytes": 100,
    "layer_stride_bytes": 10_000,
    "block_stride_bytes": 1_000,
    "layers": 3,
    "segments": [(0, 20), (500, 7)],
}


def page_plan(*runs: tuple[int, int, int], **changes: Any) -> _core.PagePlan:
    array = np.array(runs, np.uint32).reshape(-1, 3)
    return _core.PagePlan(**(PLACEMENT | {"runs": array} | changes))


def slot_plan(*slots: int, **changes: Any) -> _core.SlotPlan:
    array = np.array(slots, np.int64)
    return _core.SlotPlan(**(PLACEMENT | {"rows_per_block": 16, "slots": array} | changes))


def test_page_plan_counts_rows_of_every_segment_and_layer() -> None:
    plan = page_plan((4, 0, 16), (2, 3, 5))
    # 16 + 5 rows of 20 + 7 bytes, in 3 layers.
    assert plan.nbytes == 21 * 27 * 3
    # Base, third layer, block 4, second segment, 16 rows of 7 bytes.
    assert plan.extent_bytes == 100 + 2 * 10_000 + 4 * 1_000 + 500 + 16 * 7


def test_page_plan_counts_a_run_named_twice_twice() -> None:
    assert page_plan((1, 0, 2), (1, 0, 2)).nbytes == 2 * 2 * 27 * 3


def test_extent_is_that_of_the_segment_that_reaches_furthest() -> None:
    # Row 39 of the first segment ends at 800, of the second at 500 + 280 = 780.
    assert page_plan((0, 38, 2)).extent_bytes == 100 + 20_000 + 800


def test_page_plan_without_rows_touches_nothing() -> None:
    for plan in (page_plan(), page_plan((7, 9, 0))):
        assert (plan.nbytes, plan.extent_bytes) == (0, 0)


def test_slot_plan_skips_padding() -> None:
    # Slot 35 is row 3 of block 2.
    plan = slot_plan(-1, 35, 16, -1)
    assert plan.nbytes == 2 * 27 * 3
    assert plan.extent_bytes == 100 + 2 * 10_000 + 2 * 1_000 + 500 + 4 * 7


def test_slot_plan_writes_a_repeated_slot_once() -> None:
    assert slot_plan(5, 6, 5, 5).nbytes == 2 * 27 * 3


def test_slot_plan_of_padding_only_touches_nothing() -> None:
    plan = slot_plan(-1, -1)
    assert (plan.nbytes, plan.extent_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_bytes": -4}, "base_bytes is -4"),
        ({"layer_stride_bytes": -1}, "layer_stride_bytes is -1"),
        ({"block_stride_bytes": -1}, "block_stride_bytes is -1"),
        ({"layers": 0}, "layers is 0"),
        ({"segments": []}, "segments is empty"),
        ({"segments": [(0, 0)]}, "row_bytes of a segment is 0"),
        ({"segments": [(-8, 4)]}, "offset_bytes of a segment is -8"),
        ({"layer_stride_bytes": 2**62, "layers": 3}, "extent"),
        ({"segments": [(0, 2**62), (0, 2**62)]}, "row"),
    ],
)
def test_a_bad_placement_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        page_plan((0, 0, 1), **changes)
    with pytest.raises(ValueError, match=message):
        slot_plan(0, **changes)


def test_sizes_beyond_63_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="extent"):
        page_plan((2**31, 0, 1), block_stride_bytes=2**33)
    with pytest.raises(ValueError, match="extent"):
        slot_plan(2**62, block_stride_bytes=2**40)
    with pytest.raises(ValueError, match="size"):
        page_plan((0, 0, 2**20), layer_stride_bytes=0, layers=2**40)


def test_the_shape_of_runs_and_slots_is_checked() -> None:
    with pytest.raises(ValueError, match="shape"):
        page_plan(runs=np.zeros((4, 2), np.uint32))
    with pytest.raises(ValueError, match="one dimension"):
        slot_plan(slots=np.zeros((4, 1), np.int64))


def test_a_negative_slot_other_than_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="slot is -2"):
        slot_plan(3, -2)


def test_rows_per_block_must_be_positive() -> None:
    with pytest.raises(ValueError, match="rows_per_block is 0"):
        slot_plan(3, rows_per_block=0)


def test_a_slot_plan_whose_pages_overlap_is_refused() -> None:
    # Blocks 0 and 1 are 1000 bytes apart; 51 rows of 20 bytes reach into the next.
    assert slot_plan(49, 64, rows_per_block=64, segments=[(0, 20)]).nbytes == 2 * 20 * 3
    with pytest.raises(ValueError, match="overlap"):
        slot_plan(50, 64, rows_per_block=64, segments=[(0, 20)])
    with pytest.raises(ValueError, match="overlap"):
        slot_plan(0, layer_stride_bytes=0)
    with pytest.raises(ValueError, match="overlap"):
        slot_plan(0, 16, block_stride_bytes=0)
