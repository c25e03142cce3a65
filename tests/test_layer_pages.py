"""Layers dealt to groups over one pool: sizes by hand, from cases that engines document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.binding import Dtypes, bind_cache
from kvprof.errors import UsageError
from kvprof.layer_pages import LayerPage, PageGroup, equal_pages, group_pages
from kvprof.layers import attention_cache
from kvprof.layout import All, Keep, Last
from kvprof.packed_pages import least_padding_divisor, packed_groups

BFLOAT16 = Dtypes("bfloat16", "bfloat16", "bfloat16")
FULL, WINDOW = All(), Last(128)


def page(layer: int, keep: Keep, size: int = 4096, block_size: int = 16) -> LayerPage:
    cache = bind_cache(attention_cache(1, size // 64, keep=keep), BFLOAT16)
    return LayerPage(layer, cache, keep, block_size, size)


def dealt(groups: tuple[PageGroup, ...]) -> list[list[int]]:
    return [[each.layer for each in group.pages] for group in groups]


def test_layers_are_dealt_in_turn() -> None:
    # Two full layers of six: groups of two, windows 1, 2, 4, 5 dealt to two groups in turn.
    pages = [page(i, FULL if i % 3 == 0 else WINDOW) for i in range(6)]
    assert dealt(group_pages(pages)) == [[0, 3], [1, 4], [2, 5]]


def test_groups_as_large_as_the_most_where_these_are_few() -> None:
    # gpt-oss-20b and a draft layer: 12 windows and 13 full are 13 and 13, not 12, 12 and 1.
    pages = [page(i, WINDOW) for i in range(12)] + [page(i, FULL) for i in range(12, 25)]
    assert [len(group.pages) for group in group_pages(pages)] == [12, 13]
    # 18 are not less than 1.5 times 12: groups of 12, two of them with 9 layers.
    pages = [page(i, WINDOW) for i in range(12)] + [page(i, FULL) for i in range(12, 30)]
    assert [len(group.pages) for group in group_pages(pages)] == [12, 9, 9]


def test_one_group_where_all_need_the_same_blocks() -> None:
    alike = group_pages([page(0, FULL), page(1, FULL)])
    assert (dealt(alike), alike[0].summed) == ([[0, 1]], False)
    mixed = group_pages([page(0, FULL), page(1, FULL, 8192)])
    assert (dealt(mixed), mixed[0].summed, mixed[0].block_bytes) == ([[0, 1]], True, 12_288)
    assert group_pages([]) == ()


def test_pages_are_made_equal() -> None:
    # 4,096 B go twice into 8,192, so 32 tokens of them; 6,144 B do not, so they are padded.
    pages = [page(0, FULL, 4096), page(1, WINDOW, 8192), page(2, Last(7), 6144)]
    equal = equal_pages(pages)
    assert [each.page_bytes for each in equal] == [8192] * 3
    assert [each.block_size for each in equal] == [32, 16, 16]


def test_rows_that_kernels_step_in_cannot_be_padded() -> None:
    rows = LayerPage(0, page(0, FULL).cache, FULL, 16, 6144, indexed_by_row=True)
    with pytest.raises(UsageError, match="6144 B of 'attention' in layer 0 do not divide the 8192"):
        equal_pages([rows, page(1, WINDOW, 8192)])


@given(st.lists(st.sampled_from([FULL, WINDOW, Last(7)]), min_size=1, max_size=60))
def test_every_layer_is_in_one_group(keeps: list[Keep]) -> None:
    groups = group_pages([page(i, keep) for i, keep in enumerate(keeps)])
    assert sorted(i for group in dealt(groups) for i in group) == list(range(len(keeps)))
    assert all(len({each.keep for each in group.pages}) == 1 for group in groups)
    sizes = [len(group.pages) for group in groups]
    counts = [keeps.count(keep) for keep in set(keeps)]
    most, fewest = max(counts), min(counts)
    assert max(sizes) == (most if most < 1.5 * fewest else fewest)


def test_repeats_with_least_padding() -> None:
    # DeepSeek V4: 43 windows, 21 pairs, 20 single states: groups of 22 pad 1 + 1 + 2.
    assert least_padding_divisor([43, 21, 20], at_least=21) == 22
    assert least_padding_divisor([10], at_least=1) == 10, "of equals the largest"
    by_brute_force = min(range(3, 18), key=lambda d: (sum(-n % d for n in (17, 8, 5)), -d))
    assert least_padding_divisor([17, 8, 5], at_least=3) == by_brute_force


def test_packed_groups_repeat_their_pattern() -> None:
    # Four pairs of a small and a large page with one demand, nine windows: groups of five repeats.
    pairs = [page(i, Last(8), 4096 if i % 2 else 2048, 4) for i in range(8)]
    windows = [page(i, WINDOW) for i in range(8, 17)]
    groups = packed_groups([*pairs, *windows])
    assert dealt(groups) == [list(range(8)), [8, 10, 12, 14, 16], [9, 11, 13, 15]]
    assert all(group.summed for group in groups)
    assert [group.block_bytes for group in groups] == [4 * 6144, 5 * 4096, 4 * 4096]
