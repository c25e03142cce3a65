"""Engine vllm: blocks counted one by one, wastes by name, and figures worked out elsewhere."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof.accounting import cache_groups, entry_bytes, logical_bytes
from kvprof.binding import Dtypes, bind
from kvprof.errors import UsageError
from kvprof.layers import (
    attention_cache,
    delta_net_cache,
    latent_cache,
    layer,
    mamba1_cache,
    mamba2_cache,
)
from kvprof.layout import All, Cache, CacheLayout, Chunk, Keep, Last, Layer, Once
from kvprof.model import Model, catalogue_model
from kvprof.plan import REQUEST_WASTES, AllocationPlan, Limits, PlanGroup
from kvprof.registry import registry
from kvprof.size import Request, SizeResult, place, size_model

VLLM = registry().engine("vllm").what
BFLOAT16 = Dtypes("bfloat16", "bfloat16", "bfloat16")
WITHOUT_PREFIXES = (("vllm", "prefix_caching", "off"),)

KEEPS: list[Keep] = [All(), All(), Last(1), Last(7), Last(40), Last(1000), Chunk(20), Chunk(64)]
attentions = st.builds(
    attention_cache,
    st.sampled_from([1, 2, 3, 8]),
    st.sampled_from([16, 48, 64]),
    keep=st.sampled_from(KEEPS),
)
states = st.one_of(
    st.builds(mamba1_cache, st.sampled_from([64, 500]), st.just(16), st.just(4)),
    st.builds(mamba2_cache, st.just(4), st.just(16), st.just(16), st.just(1), st.just(4)),
)
layouts = st.lists(st.one_of(attentions, attentions, states), min_size=1, max_size=12).map(
    lambda caches: bind(CacheLayout(tuple(layer(i, c) for i, c in enumerate(caches))), BFLOAT16)
)


def held_blocks(group: PlanGroup, tokens: int, ahead: int) -> set[int]:
    """Blocks that vLLM has not given back, asking of each slot who still sees it."""
    if isinstance(group.keep, Once):
        return set(range(1 + ahead)) if tokens else set()
    slots = range(tokens + ahead) if tokens else range(0)

    def seen_by_the_next_token(slot: int) -> bool:
        if isinstance(group.keep, Last):
            return slot > tokens - group.keep.n
        if isinstance(group.keep, Chunk):
            return slot >= tokens - tokens % group.keep.n
        return True

    begun = {slot // group.block_size for slot in slots}
    # remove_skipped_blocks frees whole blocks of what the next token will not see.
    return {
        block
        for block in begun
        if any(
            seen_by_the_next_token(slot)
            for slot in range(block * group.block_size, (block + 1) * group.block_size)
        )
    }


def planned_blocks(group: PlanGroup, length: int, in_flight: int) -> int:
    """README of the recorded plans, rule 6."""
    match group.keep:
        case Last(n):
            return -(-min(n - 1 + in_flight, length) // group.block_size) + 1
        case Chunk(n):
            return -(-min(n + in_flight, length) // group.block_size)
    return -(-length // group.block_size)


@settings(max_examples=300)
@given(layouts, st.integers(0, 300), st.sampled_from([0, 1, 3]), st.sampled_from([None, 32]))
def test_every_reserved_byte_has_a_name(
    layout: CacheLayout, tokens: int, drafted: int, block_size: int | None
) -> None:
    limits = Limits(
        10_000,
        block_size=block_size,
        speculative=drafted,
        max_batched_tokens=100,
        memory_bytes=2**40,
    )
    plan = VLLM.plan(layout, limits)
    assert plan is not None
    reserved = sum(
        len(held_blocks(group, tokens, drafted)) * plan.bytes_per_block for group in plan.groups
    )
    logical = logical_bytes(cache_groups(layout), tokens)
    wastes = plan.wastes(logical, tokens)
    assert plan.reserved_bytes(tokens) == reserved
    assert tuple(wastes) == REQUEST_WASTES
    assert logical + sum(wastes.values()) == reserved
    assert min((wasted for name, wasted in wastes.items() if name != "convention")) >= 0


@settings(max_examples=200)
@given(layouts, st.integers(1, 300))
def test_rows_of_the_blocks_one_by_one(layout: CacheLayout, tokens: int) -> None:
    plan = VLLM.plan(layout, Limits(10_000))
    assert plan is not None
    expected = dict.fromkeys(REQUEST_WASTES, 0)
    expected["convention"] = -logical_bytes(cache_groups(layout), tokens)
    for group in plan.groups:
        base = group.base_block_size or group.block_size
        for block in held_blocks(group, tokens, 0):
            expected["group_padding"] += group.filler_bytes
            for part in group.parts:
                size = entry_bytes(part.cache)
                rows = 1 if isinstance(group.keep, Once) else group.block_size
                expected["padding"] += len(part.layers) * (part.page_bytes - rows * size)
                for row in range(block * rows, (block + 1) * rows):
                    name = _share(group.keep, row, tokens, base)
                    expected[name] += len(part.layers) * size
    assert plan.wastes(logical_bytes(cache_groups(layout), tokens), tokens) == expected


def _share(keep: Keep, row: int, tokens: int, base: int) -> str:
    if isinstance(keep, Once):
        return "convention"
    if row >= tokens:
        return "tail" if row // base == (tokens - 1) // base else "state_alignment"
    gone = (isinstance(keep, Last) and row <= tokens - keep.n) or (
        isinstance(keep, Chunk) and row < tokens - tokens % keep.n
    )
    return "window_slack" if gone else "convention"


@settings(max_examples=200)
@given(layouts, st.integers(1, 400), st.booleans())
def test_what_is_planned_for_a_request(
    layout: CacheLayout, length: int, asynchronous: bool
) -> None:
    limits = Limits(
        length,
        max_batched_tokens=50,
        memory_bytes=2**36,
        options=() if asynchronous else (("async_scheduling", "off"),),
    )
    plan = VLLM.plan(layout, limits)
    assert plan is not None
    in_flight = 100 if asynchronous else 50
    hybrid = len({isinstance(cache.keep, Once) for _, cache in layout.caches()}) == 2
    total = 0
    for group, planned in plan.peak_blocks().items():
        if isinstance(group.keep, Once):
            saved = 1 if hybrid and group.parts[0].cache.key == "mamba2" else 0
            assert planned == (2 + saved if hybrid else 1)
        else:
            assert planned == planned_blocks(group, length, in_flight)
        total += planned
    assert plan.num_blocks == 2**36 // plan.bytes_per_block
    assert plan.concurrency is not None
    assert plan.concurrency * total == plan.num_blocks


@given(layouts)
def test_all_groups_share_one_pool(layout: CacheLayout) -> None:
    plan = VLLM.plan(layout, Limits(100, memory_bytes=2**34))
    assert plan is not None
    assert len({(group.bytes_per_block, group.num_blocks) for group in plan.groups}) == 1
    assert min(group.filler_bytes for group in plan.groups) == 0
    placed = sorted(
        (index, part.cache.key) for g in plan.groups for part in g.parts for index in part.layers
    )
    assert placed == sorted((each.index, cache.key) for each, cache in layout.caches())


def sized(name: str, tokens: int, **asked: object) -> SizeResult:
    return size_model(catalogue_model(name), VLLM, Request(tokens=tokens, **asked))  # type: ignore[arg-type]


# Outputs of vLLM's own code, published before: prompt of 12 tokens, groups x layers, block size.
SHORT_PROMPTS = {
    ("jamba-1.5-mini", ()): (10.0, 8, 4, 80),
    ("qwen3-next-80b", WITHOUT_PREFIXES): (51.0, 4, 12, 544),
    ("nemotron-h-8b", ()): (113.75, 7, 4, 1040),
}


@pytest.mark.parametrize(("model", "published"), SHORT_PROMPTS.items(), ids=lambda v: str(v)[:20])
def test_twelve_tokens_take_a_block_of_each_group(
    model: tuple[str, tuple[tuple[str, str, str], ...]], published: tuple[float, int, int, int]
) -> None:
    name, options = model
    mebibytes, groups, layers, block_size = published
    result = sized(name, 12, engine_options=options)
    assert result.plan is not None
    assert result.bytes.reserved == mebibytes * 2**20
    assert [len(group.layers) for group in result.plan.groups] == [layers] * groups
    assert result.block_size == block_size
    assert result.waste["state_alignment"] > result.waste["tail"] > 0


def test_why_a_short_prompt_takes_so_much() -> None:
    # Qwen3-Next without prefix caching: 544 tokens of 2 x 2 x 256 x 2 B = 2,048 B a layer make a
    # page of 1,114,112 B, as large as the state's 3 x 8,192 x 2 + 32 x 128 x 128 x 2 = 1,097,728 B.
    # 12 tokens fill 12 of 16 rows of the base block, and 528 are there for the state's page only.
    waste = sized("qwen3-next-80b", 12, engine_options=WITHOUT_PREFIXES).waste
    assert waste["tail"] == 12 * 4 * 2048
    assert waste["state_alignment"] == 12 * 528 * 2048
    assert waste["padding"] == 36 * (1_114_112 - 1_097_728)
    # With it, blocks are multiples of 64 tokens: ceil(1,097,728 / (64 x 2,048)) x 64 = 576.
    assert sized("qwen3-next-80b", 12).block_size == 576


def test_eight_phantom_layers_of_gemma_3_27b() -> None:
    # 10 full layers, 52 windowed in 6 groups of 9, 9, 9, 9, 8 and 8: 8 phantoms, 8/52 = 15.38 %.
    plan = sized("gemma-3-27b", 4096).plan
    assert plan is not None
    assert [group.padding_layers for group in plan.groups] == [1, 1, 1, 1, 2, 2, 0]
    waste = sized("gemma-3-27b", 12).waste
    assert waste["group_padding"] == 8 * 16 * 2 * 16 * 128 * 2
    assert waste["window_slack"] == 0


def test_concurrency_is_not_tokens_divided_by_length() -> None:
    # gpt-oss-20b at 32k: 2,048 blocks of the full group, (127 + 16,384) / 16 + 1 = 1,033 of the
    # windowed one: a third of what is planned is for tokens in flight.
    plan = sized("gpt-oss-20b", 32_768, memory_bytes=40 * 2**30).plan
    assert plan is not None
    assert [group.blocks_per_sequence for group in plan.groups] == [1033, 2048]
    assert plan.max_concurrency == pytest.approx(109_226 / 3081)
    fewer = sized("gpt-oss-20b", 32_768, max_batched_tokens=2048).plan
    assert fewer is not None
    assert fewer.groups[0].blocks_per_sequence == -(-(127 + 4096) // 16) + 1


def bound_plan(caches: Sequence[Cache], limits: Limits) -> AllocationPlan:
    layout = bind(CacheLayout(tuple(layer(i, c) for i, c in enumerate(caches))), BFLOAT16)
    plan = VLLM.plan(layout, limits)
    assert plan is not None
    return plan


def test_drafted_tokens_have_slots_blocks_and_columns() -> None:
    # A delta net of 2 heads of 8 x 8 with a convolution of 3 columns over 2 x 16 + 16 = 48
    # channels: 3 x 48 x 2 + 2 x 8 x 8 x 2 = 544 B; with 3 drafted tokens 6 columns: 832 B.
    state = delta_net_cache(
        "gated_delta_net", key_heads=2, value_heads=2, key_dim=8, value_dim=8, d_conv=4
    )
    attention = attention_cache(1, 8)
    plan = bound_plan([state, attention], Limits(1000, speculative=3))
    states, full = plan.groups
    assert entry_bytes(states.parts[0].cache) == 832
    assert full.block_size == 64, "64 tokens of 32 B are 2,048 B, enough for 832 B"
    assert (len(states.blocks(14)), states.peak_blocks(14)) == (4, 2 + 3 + 1)
    assert (len(full.blocks(61)), len(full.blocks(62))) == (1, 2), "62 + 3 are more than a block"
    wastes = plan.wastes(0, 14)
    assert wastes["lookahead"] == 3 * 832 + 3 * 32
    at_the_end = bound_plan([attention], Limits(62, speculative=3))
    assert len(at_the_end.groups[0].blocks(62)) == 4, "no slot lies beyond the longest sequence"


def test_draft_layers_are_kept_when_it_speculates() -> None:
    model = catalogue_model("llama-3-8b")
    drafting = Model(
        model.config,
        CacheLayout(model.layout.layers, 32, draft=(layer(32, attention_cache(8, 128)),)),
        "gqa",
        "by hand",
        inferred=False,
    )
    plain, drafted = (
        place(drafting, VLLM, Request(tokens=16, speculative=each)).plan for each in (0, 1)
    )
    assert plain is not None
    assert drafted is not None
    assert (plain.bytes_per_block, drafted.bytes_per_block) == (32 * 65_536, 33 * 65_536)


def test_a_window_that_one_page_cannot_hold_is_padded() -> None:
    # Pages of 16 x 2 x 3 x 64 x 2 = 12,288 B and 16 x 2 x 2 x 64 x 2 = 8,192 B: neither divides.
    caches = [attention_cache(3, 64), attention_cache(2, 64, keep=Last(32))]
    full, windowed = bound_plan(caches, Limits(100)).groups
    assert (full.page_bytes, windowed.page_bytes) == (12_288, 12_288)
    assert windowed.block_size == 16
    assert windowed.wastes(20)["padding"] == 2 * 4096


def test_latent_pages_cannot_be_padded() -> None:
    # 16 x 576 x 2 = 18,432 B of latents beside 16 x 2 x 5 x 64 x 2 = 20,480 B of a window: vLLM
    # holds the window as if all of it was kept.
    caches = [latent_cache(512, 64), attention_cache(5, 64, keep=Last(32))]
    (group,) = bound_plan(caches, Limits(1000)).groups
    assert isinstance(group.keep, All)
    assert len(group.blocks(1000)) == 63
    assert group.wastes(1000)["window_slack"] == (1000 - 32) * 2 * 5 * 64 * 2
    with pytest.raises(UsageError, match="cannot share one pool"):
        bound_plan([latent_cache(512, 64), attention_cache(4, 100, keep=Chunk(64))], Limits(10))


def test_the_hybrid_manager_off() -> None:
    off = (("hybrid_manager", "off"),)
    caches = [attention_cache(1, 64), attention_cache(1, 64, keep=Last(32))]
    (group,) = bound_plan(caches, Limits(100, options=off)).groups
    assert len(group.layers) == 2
    assert len(group.blocks(100)) == 7
    with pytest.raises(UsageError, match="hybrid_manager=off"):
        bound_plan([attention_cache(1, 64), mamba1_cache(64, 16, 4)], Limits(100, options=off))


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("llama-3-8b", "fp8_ds_mla", "packs MLA caches only"),
        ("llama-3-8b", "float32", "no such cache"),
        ("deepseek-v3", "fp8_ds_mla", "no such cache"),
        ("deepseek-v3", "int8", "no such cache"),
    ],
)
def test_formats_that_vllm_does_not_have(name: str, dtype: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sized(name, 10, cache_dtype=dtype)


def test_kernels_that_refuse_a_block_size() -> None:
    with pytest.raises(UsageError, match=r"--block-size 40.*multiples of 16"):
        sized("llama-3-8b", 10, block_size=40)
    with pytest.raises(UsageError, match="multiples of 64"):
        sized("deepseek-v3.2", 10, block_size=16)
    assert sized("deepseek-v3", 10, block_size=48).block_size == 48


def test_layers_that_vllm_does_not_have() -> None:
    with pytest.raises(UsageError, match="no 'rg_lru' layers"):
        sized("recurrentgemma-2b", 10)


def test_a_layer_that_owns_nothing_is_in_no_group() -> None:
    layout = CacheLayout((layer(0, attention_cache(1, 64)), Layer(1)))
    plan = VLLM.plan(bind(layout, BFLOAT16), Limits(10))
    assert plan is not None
    assert plan.groups[0].layers == (0,)
    nothing = VLLM.plan(CacheLayout((Layer(0),)), Limits(10, memory_bytes=1000))
    assert nothing is not None
    assert (nothing.groups, nothing.concurrency) == ((), None)
