"""Plans: every reserved byte is logical or a named waste, and what fits really fits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kvprof.accounting import cache_groups, entry_bytes, logical_bytes
from kvprof.binding import Dtypes, bind
from kvprof.catalogue import read_catalogue
from kvprof.errors import DoesNotFitError, UsageError
from kvprof.layers import attention_cache, layer, mamba1_cache
from kvprof.layout import (
    All,
    Cache,
    CacheLayout,
    Chunk,
    Clock,
    Field,
    Keep,
    Last,
    Layer,
    Once,
    Tail,
)
from kvprof.measure.block_tables import fresh_tables
from kvprof.model import catalogue_model, lay_out
from kvprof.paging import MAX_BLOCK_SIZE, paged_plan
from kvprof.plan import REQUEST_WASTES, AllocationPlan, Limits

BFLOAT16 = Dtypes("bfloat16", "bfloat16", "bfloat16")
LAYOUTS = {
    model.name: bind(lay_out(model.model_config()).layout, BFLOAT16) for model in read_catalogue()
}


def rows_kept(cache: Cache, tokens: int, encoder_tokens: int) -> list[int]:
    """Rows that one sequence keeps, by asking of each."""
    if isinstance(cache.keep, Once):
        return [0] if tokens else []
    ticks = encoder_tokens if cache.clock is Clock.ENCODER else tokens
    made = ticks // cache.entry_tokens
    return [
        row
        for row in range(made)
        if isinstance(cache.keep, All)
        or (isinstance(cache.keep, Last) and made - row <= cache.keep.n)
        or (isinstance(cache.keep, Chunk) and row // cache.keep.n == (made - 1) // cache.keep.n)
        or (isinstance(cache.keep, Tail) and row // cache.keep.n == made // cache.keep.n)
    ]


def by_brute_force(
    layout: CacheLayout, block_size: int, tokens: int, encoder_tokens: int = 0
) -> tuple[int, int, int, int]:
    """Reserved, logical, out-of-window and unfilled bytes, row by row and layer by layer."""
    reserved = logical = before = after = 0
    counted: dict[Cache, tuple[int, int, int, int]] = {}
    for _, cache in layout.caches():
        if cache not in counted:
            kept = rows_kept(cache, tokens, encoder_tokens)
            in_block = max(1, block_size // cache.entry_tokens)
            if isinstance(cache.keep, Once):
                in_block = 1
            blocks = {row // in_block for row in kept}
            held = [
                row for block in blocks for row in range(block * in_block, (block + 1) * in_block)
            ]
            counted[cache] = (
                len(held),
                len(kept),
                sum(row < min(kept) for row in held),
                sum(row > max(kept) for row in held),
            )
        size = entry_bytes(cache)
        held_rows, kept_rows, early, late = counted[cache]
        reserved += held_rows * size
        logical += kept_rows * size
        before += early * size
        after += late * size
    return reserved, logical, before, after


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.integers(0, 1500),
    st.one_of(st.sampled_from([1, 16, 64, 256]), st.integers(1, 500)),
)
def test_reserved_is_logical_and_named_wastes(name: str, tokens: int, block_size: int) -> None:
    layout = LAYOUTS[name]
    plan = paged_plan(layout, Limits(max_model_len=tokens), block_size)
    reserved, logical, before, after = by_brute_force(layout, block_size, tokens)
    wastes = plan.wastes(logical, tokens)
    assert plan.reserved_bytes(tokens) == reserved
    assert logical_bytes(cache_groups(layout), tokens) == logical
    assert tuple(wastes) == REQUEST_WASTES
    assert wastes["window_slack"] == before
    assert wastes["tail"] == after
    assert reserved == logical + sum(wastes.values())


RETENTIONS: list[tuple[Keep, Clock, int]] = [
    (All(), Clock.DECODER, 1),
    (All(), Clock.DECODER, 4),
    (All(), Clock.DECODER, 128),
    (Last(30), Clock.DECODER, 4),
    (Chunk(20), Clock.DECODER, 1),
    (Tail(128), Clock.DECODER, 1),
    (All(), Clock.ENCODER, 1),
    (Once(), Clock.SEQUENCE, 1),
]
MIXED = CacheLayout(
    tuple(
        Layer(i, (Cache("c", (Field("x", (("n", 10 + i),), "int8"),), keep, clock, every),))
        for i, (keep, clock, every) in enumerate(RETENTIONS)
    )
)


@settings(max_examples=200)
@given(st.integers(0, 1000), st.integers(0, 200), st.integers(1, 300))
def test_every_retention_and_clock(tokens: int, encoder_tokens: int, block_size: int) -> None:
    plan = paged_plan(MIXED, Limits(tokens, encoder_tokens), block_size)
    reserved, logical, before, after = by_brute_force(MIXED, block_size, tokens, encoder_tokens)
    wastes = plan.wastes(logical, tokens, encoder_tokens)
    assert plan.reserved_bytes(tokens, encoder_tokens) == reserved
    assert wastes["convention"] == wastes["padding"] == 0
    assert (wastes["window_slack"], wastes["tail"]) == (before, after)
    assert reserved == logical + before + after
    assert len(plan.groups) == 8, "each of its own retention, clock and entry"


# ---------------------------------------------------------------- by hand


def test_gemma_3_27b_in_blocks_of_16() -> None:
    # 4,100 tokens, rows of 8,192 B. Full layers: 257 blocks (4,112 rows), with 12 rows unfilled.
    # Windowed: rows 3,076 to 4,099 lie in blocks 192 to 256, 65 of them, with 4 rows out of the
    # window before and 12 unfilled after.
    plan = paged_plan(LAYOUTS["gemma-3-27b"], Limits(4100), 16)
    windowed, full = plan.groups
    assert (full.blocks(4100), windowed.blocks(4100)) == (range(257), range(192, 257))
    assert plan.wastes(0, 4100)["window_slack"] == 4 * 52 * 8192
    assert plan.wastes(0, 4100)["tail"] == 12 * 62 * 8192
    assert plan.reserved_bytes(4100) == (257 * 10 + 65 * 52) * 16 * 8192
    assert (full.page_bytes, full.bytes_per_block) == (131_072, 1_310_720)
    assert plan.bytes_per_block == 52 * 131_072, "of the largest group's"
    # 65 is the most for a window of 1,024 rows: 64 blocks' worth, starting inside a block.
    assert list(plan.peak_blocks().values()) == [65, 257]


def test_caches_that_live_alike_share_a_block_table() -> None:
    # DeepSeek-V3.2: latent rows of 1,152 B and index rows of 256 B in each of 61 layers, all kept.
    plan = paged_plan(LAYOUTS["deepseek-v3.2"], Limits(4096), 64)
    (group,) = plan.groups
    assert len(group.layers) == 61
    assert [part.page_bytes for part in group.parts] == [64 * 1152, 64 * 256]
    assert group.bytes_per_block == group.page_bytes == 61 * 64 * (1152 + 256)
    assert plan.reserved_bytes(4096) == 64 * group.bytes_per_block


def test_a_state_has_one_slot_of_its_own_size() -> None:
    # Jamba 1.5 Mini: 28 states of 311,296 B, whatever the block size and the length.
    plan = paged_plan(LAYOUTS["jamba-1.5-mini"], Limits(100_000), 16)
    state = next(group for group in plan.groups if group.keep == Once())
    assert (state.rows_per_block, state.page_bytes) == (1, 311_296)
    assert (len(state.blocks(1)), len(state.blocks(100_000))) == (1, 1)
    assert plan.wastes(0, 17)["tail"] == 15 * 4 * 4096, "only the 4 attention layers have a tail"


def test_an_entry_longer_than_the_block_is_a_block() -> None:
    layout = CacheLayout(
        (Layer(0, (Cache("c", (Field("x", (("n", 584),), "int8"),), All(), entry_tokens=128),)),)
    )
    (group,) = paged_plan(layout, Limits(1000), 16).groups
    assert (group.rows_per_block, group.block_size) == (1, 128)
    assert len(group.blocks(1000)) == 7


@pytest.mark.parametrize("block_size", [0, -1, -16, MAX_BLOCK_SIZE + 1])
def test_block_sizes_out_of_range_are_refused(block_size: int) -> None:
    with pytest.raises(UsageError, match=f"{block_size};.* 1 to {MAX_BLOCK_SIZE}") as caught:
        paged_plan(LAYOUTS["gpt2"], Limits(16), block_size)
    assert caught.value.exit_code == 2


def test_the_largest_block() -> None:
    (group,) = paged_plan(LAYOUTS["gpt2"], Limits(16), MAX_BLOCK_SIZE).groups
    assert group.blocks(MAX_BLOCK_SIZE) == range(1)
    assert group.blocks(MAX_BLOCK_SIZE + 1) == range(2)


# ---------------------------------------------------------------- pools


def test_without_memory_a_plan_has_no_pools() -> None:
    plan = paged_plan(LAYOUTS["gpt2"], Limits(1024), 16)
    assert plan.num_blocks is None
    assert plan.max_concurrency is None
    assert plan.capacity_tokens is None


def test_llama_3_8b_in_a_gibibyte() -> None:
    # A block of 16 tokens: 16 * 131,072 B = 2 MiB, so 512 of them; a sequence of 1,000 tokens takes
    # 63: 512 / 63 = 8.127 sequences, 8,126 whole tokens.
    plan = paged_plan(LAYOUTS["llama-3-8b"], Limits(1000, memory_bytes=2**30), 16)
    assert plan.num_blocks == 512
    assert plan.max_concurrency == 512 / 63
    assert plan.capacity_tokens == 512 * 1000 // 63 == 8126


def test_capacity_is_counted_exactly() -> None:
    # One block of one token for sequences of 49: 1/49 of a sequence, one token. (In floating point
    # 1 / 49 * 49 is below 1.)
    layout = CacheLayout((Layer(0, (Cache("c", (Field("x", (("n", 1),), "int8"),)),)),))
    assert paged_plan(layout, Limits(49, memory_bytes=1), 1).capacity_tokens == 1


def admitted(plan: AllocationPlan, at_most: int) -> int:
    """Sequences of the longest length that there are blocks for."""
    limits = plan.limits
    for count in range(1, at_most + 1):
        try:
            fresh_tables(plan, [limits.max_model_len] * count, limits.encoder_tokens)
        except DoesNotFitError:
            return count - 1
    return at_most


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.integers(1, 3000),
    st.sampled_from([1, 16, 100, 256]),
    st.integers(0, 12),
    st.floats(0, 1),
)
def test_pools_hold_as_many_sequences_as_the_plan_says(
    name: str, tokens: int, block_size: int, sequences: int, more: float
) -> None:
    layout = LAYOUTS[name]
    need = paged_plan(layout, Limits(tokens), block_size).peak_bytes
    memory = int(need * (sequences + more))
    plan = paged_plan(layout, Limits(tokens, memory_bytes=memory), block_size)
    pools = sum((group.num_blocks or 0) * group.bytes_per_block for group in plan.groups)
    assert pools <= memory
    assert plan.num_blocks == sum(group.num_blocks or 0 for group in plan.groups)
    # nothing is left that would hold another block of every group
    assert memory - pools < sum(group.bytes_per_block for group in plan.groups)
    assert plan.max_concurrency is not None
    held = [len(group.blocks(tokens)) for group in plan.groups]
    if held == list(plan.peak_blocks().values()):
        assert int(plan.max_concurrency) == admitted(plan, 20)
    else:  # what is held at this length is less than on the way to it
        assert int(plan.max_concurrency) <= admitted(plan, 20)
    assert sequences - 1 <= int(plan.max_concurrency) <= sequences + 1


def test_encoder_positions_take_blocks_too() -> None:
    cross = Cache("cross", (Field("k", (("n", 8),), "int8"),), All(), Clock.ENCODER)
    plan = paged_plan(CacheLayout((Layer(0, (cross,)),)), Limits(100, 12, 3 * 16 * 8), 16)
    assert plan.reserved_bytes(100, 12) == 16 * 8
    assert plan.wastes(0, 100, 12)["tail"] == 4 * 8
    assert plan.max_concurrency == 3


def test_the_scarcest_pool_bounds_the_sequences() -> None:
    # 160 tokens: 10 blocks of 16 rows of 16 B (2,560 B) and a state of 640 B, 3,200 B in all.
    # 8,000 B are 2.5 sequences: 25 blocks (2.5 sequences) but 2 states.
    row = Cache("c", (Field("x", (("n", 16),), "int8"),))
    state = Cache("s", (Field("s", (("n", 640),), "int8"),), Once(), Clock.SEQUENCE)
    plan = paged_plan(CacheLayout((layer(0, row, state),)), Limits(160, memory_bytes=8000), 16)
    assert [group.num_blocks for group in plan.groups] == [25, 2]
    assert plan.num_blocks == 27
    assert plan.max_concurrency == 2.0
    assert plan.capacity_tokens == 320


def test_a_layout_of_states_alone() -> None:
    layout = bind(CacheLayout((layer(0, mamba1_cache(16, 4, 4)),)), BFLOAT16)
    # conv 3 * 16 and state 16 * 4, 2 B each: 224 B
    plan = paged_plan(layout, Limits(1000, memory_bytes=1000), 16)
    assert plan.num_blocks == 4
    assert plan.max_concurrency == 4


def test_a_group_of_several_page_sizes_counts_each_layers_own() -> None:
    layout = bind(
        CacheLayout((layer(0, attention_cache(2, 8)), layer(1, attention_cache(4, 8)))), BFLOAT16
    )
    (group,) = paged_plan(layout, Limits(1), 16).groups
    # K and V of 2 * 8 in 2 B: 64 B a row; of 4 * 8: 128 B
    assert [part.page_bytes for part in group.parts] == [16 * 64, 16 * 128]
    assert group.bytes_per_block == 16 * 192
    assert group.row_bytes == 192


def test_windows_free_what_they_have_left_behind() -> None:
    layout = bind(catalogue_model("mistral-7b-v0.1").layout, BFLOAT16)
    (group,) = paged_plan(layout, Limits(1), 16).groups
    blocks = [len(group.blocks(tokens)) for tokens in (4096, 4097, 4111, 4112, 10**9)]
    # aligned, a window of 4,096 lies in 256 blocks; else it straddles one more
    assert blocks == [256, 257, 257, 256, 256]


@settings(max_examples=300)
@given(
    st.one_of(
        st.just(All()),
        st.builds(Last, st.integers(1, 60)),
        st.builds(Chunk, st.integers(1, 60)),
        st.builds(Tail, st.integers(1, 60)),
    ),
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(0, 400),
)
def test_the_peak_is_the_most_on_the_way(
    keep: Keep, entry_tokens: int, block_size: int, tokens: int
) -> None:
    cache = Cache("c", (Field("x", (("n", 1),), "int8"),), keep, entry_tokens=entry_tokens)
    (group,) = paged_plan(CacheLayout((layer(0, cache),)), Limits(tokens), block_size).groups
    on_the_way = [len(group.blocks(length)) for length in range(tokens + 1)]
    assert group.peak_blocks(tokens) == max(on_the_way)


def test_a_chunk_needs_its_longest_and_not_its_last_length() -> None:
    # Llama 4 Scout keeps chunks of 8,192: at 8,193 tokens one entry, on the way there 512 blocks.
    layout = bind(catalogue_model("llama-4-scout").layout, BFLOAT16)
    chunked = next(
        group
        for group in paged_plan(layout, Limits(8193), 16).groups
        if isinstance(group.keep, Chunk)
    )
    assert len(chunked.blocks(8193)) == 1
    assert chunked.peak_blocks(8193) == 512


def test_a_padded_page_and_another_dtype_have_their_names() -> None:
    # 10 rows of 4 B in float32 where 2 B are needed: 40 B kept, 20 B needed; blocks of 4 rows in
    # pages of 24 B: 3 of them, 72 B, of which 24 B are padding and 2 rows (8 B) unfilled.
    cache = Cache("c", (Field("x", (("n", 1),), "float32"),))
    plan = paged_plan(CacheLayout((layer(0, cache),)), Limits(10), 4)
    (group,) = plan.groups
    padded = replace(group, parts=(replace(group.parts[0], page_bytes=24),))
    wastes = replace(plan, groups=(padded,)).wastes(20, 10)
    assert {name: size for name, size in wastes.items() if size} == {
        "convention": 20,
        "tail": 8,
        "padding": 24,
    }
