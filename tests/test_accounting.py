"""Bytes derived from a layout: at a context, per token, per decode step."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.accounting import (
    cache_groups,
    entry_bytes,
    field_bytes,
    fixed_bytes,
    growing_per_token,
    logical_bytes,
    per_token,
    step_traffic,
    window_bytes,
)
from kvprof.binding import Dtypes, bind
from kvprof.layers import attention_cache, layer, mamba1_cache, reading_layer
from kvprof.layout import (
    Access,
    All,
    Cache,
    CacheLayout,
    Chunk,
    Clock,
    Field,
    Last,
    Layer,
    Mode,
    Tail,
)
from kvprof.model import catalogue_model
from kvprof.result import number

BFLOAT16 = Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16")


def bound(name: str) -> CacheLayout:
    return bind(catalogue_model(name).layout, BFLOAT16)


def traffic(layout: CacheLayout, tokens: int) -> dict[tuple[str, Mode], tuple[int, int]]:
    return {
        (moved.cache, moved.mode): (moved.bytes_read, moved.bytes_written)
        for moved in step_traffic(layout, tokens)
    }


def test_gemma_3_27b_at_4096_tokens() -> None:
    # An entry: K and V of 16 heads of 128 in 2 B = 2 * 16 * 128 * 2 = 8,192 B.
    # 10 full layers hold 4,096 entries, 52 windowed ones the last 1,024:
    # (10 * 4,096 + 52 * 1,024) * 8,192 = 94,208 * 8,192 = 771,751,936 B.
    groups = cache_groups(bound("gemma-3-27b"))
    assert [len(group.layers) for group in groups] == [52, 10]
    assert logical_bytes(groups, 4096) == 771_751_936


def test_llama_4_scout_starts_a_new_chunk() -> None:
    # An entry: K and V of 8 heads of 128 = 4,096 B. 12 of 48 layers keep all, 36 a chunk of 8,192.
    groups = cache_groups(bound("llama-4-scout"))
    assert logical_bytes(groups, 8192) == 48 * 8192 * 4096
    assert logical_bytes(groups, 8193) == 12 * 8193 * 4096 + 36 * 1 * 4096
    assert window_bytes(groups) == 36 * 8192 * 4096


def test_a_compressed_cache_is_counted_per_entry() -> None:
    # One entry of 584 B per 128 tokens, and the tokens not yet folded in 2 B each.
    entry = Field("latent", (("rank", 584),), "int8")
    raw = Field("raw", (("rank", 2),), "int8")
    folded = Cache("compressed", (entry,), All(), entry_tokens=128)
    tail = Cache("compressor", (raw,), Tail(128))
    groups = cache_groups(CacheLayout((Layer(0, (folded, tail)),)))
    assert logical_bytes(groups[:1], 1000) == 7 * 584
    assert logical_bytes(groups, 1000) == 7 * 584 + 104 * 2
    assert per_token(groups[:1]) == Fraction(584, 128)
    assert number(per_token(groups[:1])) == 4.5625
    assert growing_per_token(groups) == Fraction(584, 128), "the tail does not grow"
    assert window_bytes(groups) == 127 * 2


def test_per_token_is_an_integer_when_whole() -> None:
    per = number(per_token(cache_groups(bound("llama-3-8b"))))
    assert (per, type(per)) == (131_072, int)


def test_encoder_caches_do_not_grow_with_tokens() -> None:
    cross = Cache("cross", (Field("k", (("head_dim", 8),), "float16"),), All(), Clock.ENCODER)
    groups = cache_groups(CacheLayout((Layer(0, (cross,)),)))
    assert per_token(groups) == growing_per_token(groups) == 0
    assert fixed_bytes(groups) == window_bytes(groups) == 0
    assert logical_bytes(groups, 1000, 12) == 12 * 8 * 2


@pytest.mark.parametrize(
    ("elements", "dtype", "expected"),
    [(3, "fp4_e2m1", 2), (4, "fp4_e2m1", 2), (3, "float32", 12), (3, "int8", 3)],
)
def test_a_field_is_rounded_up_to_whole_bytes(elements: int, dtype: str, expected: int) -> None:
    assert field_bytes(Field("x", (("n", elements),), dtype)) == expected


def test_an_unbound_layout_has_no_bytes() -> None:
    with pytest.raises(KeyError):
        entry_bytes(attention_cache(1, 1))


@given(
    st.lists(
        st.tuples(
            st.integers(1, 8),
            st.integers(1, 64),
            st.one_of(st.just(All()), st.builds(Last, st.integers(1, 50))),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 200),
)
def test_logical_bytes_add_up_token_by_token(
    shapes: list[tuple[int, int, All | Last]], tokens: int
) -> None:
    layout = bind(
        CacheLayout(
            tuple(
                layer(i, attention_cache(heads, dim, keep=keep))
                for i, (heads, dim, keep) in enumerate(shapes)
            )
        ),
        BFLOAT16,
    )
    expected = 0
    for heads, dim, keep in shapes:
        for token in range(tokens):
            if isinstance(keep, All) or tokens - token <= keep.n:
                expected += 2 * heads * dim * 2  # K and V, 2 B each
    assert logical_bytes(cache_groups(layout), tokens) == expected


# ---------------------------------------------------------------- what a step moves


def test_a_step_of_full_attention_reads_all_and_appends_one() -> None:
    assert traffic(bound("llama-3-8b"), 4096) == {
        ("attention", Mode.APPEND): (0, 131_072),  # one token in every layer
        ("attention", Mode.READ): (4096 * 131_072, 0),
    }


def test_a_step_reads_no_more_of_a_window_than_it_holds() -> None:
    moved = traffic(bound("gemma-3-27b"), 4096)
    assert moved["sliding_attention", Mode.READ] == (52 * 1024 * 8192, 0)
    assert moved["attention", Mode.READ] == (10 * 4096 * 8192, 0)
    assert moved["sliding_attention", Mode.APPEND] == (0, 52 * 8192)


def test_a_step_updates_states_in_place() -> None:
    # Jamba 1.5 Mini: 28 Mamba layers of 311,296 B are read and written whole.
    assert traffic(bound("jamba-1.5-mini"), 4096)["mamba1", Mode.RMW] == (8_716_288, 8_716_288)


def test_a_sparse_step_streams_the_indexer_and_reads_the_top_rows() -> None:
    # DeepSeek-V3.2: 61 layers; index keys of 128 in 2 B = 256 B, rows of 576 in 2 B = 1,152 B.
    layout = bound("deepseek-v3.2")
    moved = traffic(layout, 100_000)
    assert moved["indexer", Mode.READ] == (61 * 100_000 * 256, 0)
    assert moved["latent", Mode.READ] == (61 * 2048 * 1152, 0)
    assert traffic(layout, 100)["latent", Mode.READ] == (61 * 100 * 1152, 0)


def test_a_layer_that_owns_nothing_still_reads() -> None:
    # Gemma 3n E4B: 20 of 35 layers own a cache (4 full, 16 of a window of 512), 35 read one:
    # 7 full, 28 windowed. An entry: K and V of 2 heads of 256 = 2,048 B.
    layout = bound("gemma-3n-e4b")
    moved = traffic(layout, 4096)
    assert logical_bytes(cache_groups(layout), 4096) == (4 * 4096 + 16 * 512) * 2048
    assert moved["attention", Mode.READ] == (7 * 4096 * 2048, 0)
    assert moved["sliding_attention", Mode.READ] == (28 * 512 * 2048, 0)
    assert moved["attention", Mode.APPEND] == (0, 4 * 2048)


def test_a_compressed_cache_is_appended_to_only_when_an_entry_is_complete() -> None:
    cache = Cache("c", (Field("x", (("n", 10),), "int8"),), All(), entry_tokens=4)
    layout = CacheLayout((Layer(0, (cache,), (Access(0, "c", Last(1), Mode.APPEND),)),))
    written = [traffic(layout, tokens)["c", Mode.APPEND][1] for tokens in range(1, 9)]
    assert written == [0, 0, 0, 10, 0, 0, 0, 10]


def test_a_chunk_is_read_as_far_as_it_goes() -> None:
    cache = attention_cache(1, 8, keep=Chunk(16))
    layout = bind(CacheLayout((layer(0, cache), reading_layer(1, 0, cache))), BFLOAT16)
    # 17 tokens: one entry of 2 * 8 * 2 = 32 B, read by the owner and by the other layer.
    assert traffic(layout, 17)["chunked_attention", Mode.READ] == (64, 0)


def test_equal_caches_stand_together_in_the_order_they_appear() -> None:
    full, state = attention_cache(2, 8), mamba1_cache(16, 4, 4)
    layout = bind(CacheLayout((layer(0, state), layer(1, full), layer(2, state))), BFLOAT16)
    assert [(g.cache.key, g.layers) for g in cache_groups(layout)] == [
        ("mamba1", (0, 2)),
        ("attention", (1,)),
    ]


def test_rows_that_are_chosen_are_counted_apart() -> None:
    # MiniMax-M3: 3 dense and 57 sparse layers keep 2 x 4 x 128 x 2 B = 2,048 B a token each.
    moved = {
        (one.cache, one.mode, one.sparse): one.bytes_read
        for one in step_traffic(bound("minimax-m3"), 10_000)
    }
    assert moved["attention", Mode.READ, False] == 3 * 10_000 * 2048
    assert moved["attention", Mode.READ, True] == 57 * 2048 * 2048
