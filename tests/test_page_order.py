"""Where the rows of a page lie, in every order, by hand; and where pages lie in memory."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kvprof.accounting import entry_bytes
from kvprof.binding import Dtypes, bind
from kvprof.layers import attention_cache, indexer_cache, latent_cache, layer, mamba1_cache
from kvprof.layout import Cache, CacheLayout
from kvprof.measure.regions import map_regions
from kvprof.page_order import HEADS, KEYS_AND_VALUES, OUTER, PageOrder, page_segments
from kvprof.paging import paged_plan
from kvprof.plan import Limits

ORDERS = [PageOrder(*order) for order in product(HEADS, KEYS_AND_VALUES, OUTER)]


def bound(cache: Cache, dtype: str = "bfloat16") -> Cache:
    dtypes = Dtypes(cache=dtype, state="float32", model="bfloat16")
    return bind(CacheLayout((layer(0, cache),)), dtypes).layers[0].owns[0]


def segments(cache: Cache, rows: int, *order: str) -> list[tuple[str, int, int]]:
    found = page_segments(cache, rows, PageOrder(*order))  # type: ignore[arg-type]
    return [(s.name, s.offset_bytes, s.row_bytes) for s in found]


# 2 heads x (4 K + 3 V) x 2 B: K of a row 16 B, V 12 B.
UNEQUAL = bound(attention_cache(2, 4, v_head_dim=3))


def test_rows_of_all_heads() -> None:
    assert segments(UNEQUAL, 5, "nhd", "packed") == [("k+v", 0, 28)]
    assert segments(UNEQUAL, 5, "nhd", "apart") == [("k", 0, 16), ("v", 80, 12)]


def test_rows_of_one_head() -> None:
    assert segments(UNEQUAL, 5, "hnd", "packed") == [("k+v[0]", 0, 14), ("k+v[1]", 70, 14)]
    assert segments(UNEQUAL, 5, "hnd", "apart") == [
        ("k[0]", 0, 8),
        ("k[1]", 40, 8),
        ("v[0]", 80, 6),
        ("v[1]", 110, 6),
    ]


def test_scales_stay_with_their_tensor_and_their_head() -> None:
    # NVFP4: 16 elements are 8 B and a scale of 1 B.
    cache = bound(attention_cache(2, 16), "nvfp4")
    assert segments(cache, 4, "hnd", "apart") == [
        ("k+k_scale[0]", 0, 9),
        ("k+k_scale[1]", 36, 9),
        ("v+v_scale[0]", 72, 9),
        ("v+v_scale[1]", 108, 9),
    ]


def test_scales_that_lie_behind_all_rows() -> None:
    # The indexer: all fp8 keys, then all float32 scales; DeepSeek V4: rows of 576 B, then of 8 B.
    assert segments(bound(indexer_cache(128), "fp8_ds_mla"), 64) == [
        ("index_k", 0, 128),
        ("index_k_scale", 64 * 128, 4),
    ]
    assert segments(bound(latent_cache(448, 64), "fp8_ds_mla_v4"), 64) == [
        ("latent+k_rope", 0, 576),
        ("latent_scale", 64 * 576, 8),
    ]
    assert segments(bound(latent_cache(512, 64), "fp8_ds_mla"), 64) == [
        ("latent+latent_scale+k_rope", 0, 656)
    ]


def test_what_has_no_heads_has_one_order() -> None:
    latent = bound(latent_cache(512, 64))
    assert len({tuple(page_segments(latent, 16, order)) for order in ORDERS}) == 1


def test_each_tensor_of_a_state_is_a_segment_with_its_dtype() -> None:
    # conv_state 3 x 10 x 2 B, ssm_state 10 x 4 x 4 B.
    found = page_segments(bound(mamba1_cache(10, 4, 4)), 1, PageOrder())
    assert [(s.name, s.offset_bytes, s.row_bytes, s.dtype) for s in found] == [
        ("conv_state", 0, 60, "bfloat16"),
        ("ssm_state", 60, 160, "float32"),
    ]


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: f"{o.heads}-{o.kv}-{o.outer}")
def test_every_byte_of_the_memory_is_of_one_row(order: PageOrder) -> None:
    caches = (attention_cache(2, 4, v_head_dim=3), indexer_cache(128))
    layout = bind(
        CacheLayout(tuple(layer(i, *caches) for i in range(3))),
        Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16"),
    )
    entry = sum(entry_bytes(cache) for cache in layout.layers[0].owns)
    blocks, rows = 7, 5
    memory = blocks * rows * entry * 3
    plan = paged_plan(layout, Limits(max_model_len=5, memory_bytes=memory, order=order), rows)
    used = np.zeros(memory + 8192, np.uint8)
    for region in map_regions(plan):
        assert region.blocks == blocks
        for index, block in product(range(3), range(blocks)):
            page = (
                region.base_bytes
                + index * region.layer_stride_bytes
                + block * region.block_stride_bytes
            )
            for offset, size in region.segments:
                used[page + offset : page + offset + rows * size] += 1
    assert used.max() == 1
    assert used.sum() == memory
    if order.outer == "block":
        assert used[:memory].all(), "blocks lie one behind the other, without a gap"
