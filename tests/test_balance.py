"""Which pool is full first, worked out by hand, and its sum."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kvprof.balance import balance_points
from kvprof.layers import layer
from kvprof.layout import Cache, CacheLayout, Field
from kvprof.model import catalogue_model
from kvprof.paging import paged_plan
from kvprof.plan import AllocationPlan, Limits
from kvprof.registry import registry
from kvprof.result import BalanceGroup
from kvprof.size import Request, place, size_model


def plan_of(name: str, **request: int) -> AllocationPlan:
    paged = registry().engine("paged").what
    plan = place(catalogue_model(name), paged, Request(**request)).plan  # type: ignore[arg-type]
    assert plan is not None
    return plan


# Jamba 1.5 Mini in blocks of 16: 4 layers x 4,096 B x 16 = 262,144 B; a state of 8,716,288 B in 28
# layers. A sequence of 4,096 tokens takes 256 blocks and a state: 75,825,152 B; ten fill the pools.
BLOCK, STATE = 262_144, 8_716_288
JAMBA = 10 * (256 * BLOCK + STATE)


def test_another_pool_fills_first_at_another_context() -> None:
    plan = plan_of("jamba-1.5-mini", tokens=4096, memory_bytes=JAMBA)
    short, planned, long, too_long = balance_points(plan, (1024, 4096, 32_768, 131_072))
    # 1,024 tokens: 64 blocks. 2,560 blocks would do for 40 sequences, 10 states do for 10.
    assert (short.sequences_that_fit, short.fills_first) == (10, ("Once",))
    assert short.groups == (
        BalanceGroup("Once", ("mamba1",), 28, blocks=10, needed=10, fill=1.0),
        BalanceGroup("All", ("attention",), 4, blocks=2560, needed=640, fill=0.25),
    )
    assert short.idle_bytes == (2560 - 640) * BLOCK
    # At the length that the pools are for both are full at once.
    assert (planned.sequences_that_fit, planned.fills_first) == (10, ("Once", "All"))
    assert planned.idle_bytes == 0
    # 32,768 tokens: 2,048 blocks, one sequence; nine states are idle.
    assert (long.sequences_that_fit, long.fills_first) == (1, ("All",))
    assert [group.fill for group in long.groups] == [0.1, 0.8]
    assert long.idle_bytes == 9 * STATE
    # 131,072 tokens: 8,192 blocks are more than there are.
    assert (too_long.sequences_that_fit, too_long.sequences) == (0, 1)
    assert [group.fill for group in too_long.groups] == [0.1, 3.2]
    assert too_long.idle_bytes == 10 * STATE


def test_the_fill_of_as_many_sequences_as_are_asked_for() -> None:
    plan = plan_of("jamba-1.5-mini", tokens=4096, memory_bytes=JAMBA)
    points = balance_points(plan, (1024, 32_768), concurrency=(5, 20))
    assert [(p.tokens, p.sequences) for p in points] == [
        *((1024, 10), (1024, 5), (1024, 20)),
        *((32_768, 1), (32_768, 5), (32_768, 20)),
    ]
    # 10 states and 2,560 blocks; a sequence of 1,024 tokens needs 64 blocks, one of 32,768 2,048.
    assert [[group.fill for group in p.groups] for p in points] == [
        *([1.0, 0.25], [0.5, 0.125], [2.0, 0.5]),
        *([0.1, 0.8], [0.5, 4.0], [2.0, 16.0]),
    ]
    assert {p.fills_first for p in points[:3]} == {("Once",)}
    assert {p.sequences_that_fit for p in points[3:]} == {1}


def test_windows_do_not_grow() -> None:
    # Gemma 3 27B in blocks of 16: 10 layers x 8,192 B x 16 = 1,310,720 B, 52 such layers with a
    # window of 1,024: 6,815,744 B. Four sequences of 4,096 tokens: 4 x 256 and 4 x 65 blocks.
    memory = 4 * (256 * 1_310_720 + 65 * 6_815_744)
    plan = plan_of("gemma-3-27b", tokens=4096, memory_bytes=memory)
    short, long = balance_points(plan, (1024, 8192))
    # 1,024 tokens: 64 blocks of either; 260 // 64 = 4 and 1,024 // 64 = 16 sequences.
    assert (short.sequences_that_fit, short.fills_first) == (4, ("Last(1024)",))
    assert [group.needed for group in short.groups] == [256, 256]
    assert [group.fill for group in short.groups] == [256 / 260, 256 / 1024]
    assert short.idle_bytes == (1024 - 256) * 1_310_720
    # 8,192 tokens: 512 blocks and still 65 of the window; half of the windows' pool is idle.
    assert (long.sequences_that_fit, long.fills_first) == (2, ("All",))
    assert [group.needed for group in long.groups] == [130, 1024]
    assert long.idle_bytes == 130 * 6_815_744


def test_nothing_to_balance() -> None:
    assert balance_points(plan_of("jamba-1.5-mini", tokens=4096), (1024,)) == ()
    assert balance_points(plan_of("llama-3-8b", tokens=4096, memory_bytes=2**30), (1024,)) == ()


def test_nothing_is_needed() -> None:
    plan = plan_of("jamba-1.5-mini", tokens=4096, memory_bytes=JAMBA)
    (nothing,) = balance_points(plan, (0,))
    assert (nothing.sequences_that_fit, nothing.fills_first, nothing.idle_bytes) == (None, (), 0)


def test_a_pool_without_blocks_has_no_fill() -> None:
    plan = plan_of("jamba-1.5-mini", tokens=4096, memory_bytes=STATE)
    (point,) = balance_points(plan, (4096,))
    # A state and 256 blocks share it: 0.115 of a state, 29 blocks.
    assert (point.sequences_that_fit, point.fills_first) == (0, ("Once",))
    assert [group.fill for group in point.groups] == [None, 256 / 29]


def test_groups_of_one_retention_are_told_apart_by_their_caches() -> None:
    fields = (Field("c", (("d", 8),), "int8"),)
    compressed = Cache("summary", fields, entry_tokens=4)
    layout = CacheLayout((layer(0, Cache("attention", fields)), layer(1, compressed)))
    plan = paged_plan(layout, Limits(max_model_len=64, memory_bytes=10_000), 16)
    (point,) = balance_points(plan, (16,))
    assert set(point.fills_first) <= {"All attention", "All summary"}
    assert point.fills_first


@given(st.integers(1, 10_000), st.integers(0, 2**32), st.integers(1, 20_000))
def test_needed_left_and_idle_are_the_pools(planned: int, memory: int, tokens: int) -> None:
    plan = plan_of("gemma-3-27b", tokens=planned, memory_bytes=memory)
    (point,) = balance_points(plan, (tokens,))
    most = point.sequences_that_fit
    assert most is not None
    peaks = [group.peak_blocks(tokens) for group in plan.groups]
    blocks = [group.num_blocks or 0 for group in plan.groups]
    assert all(most * peak <= have for peak, have in zip(peaks, blocks, strict=True))
    assert any((most + 1) * peak > have for peak, have in zip(peaks, blocks, strict=True))
    left = {
        str(group.keep): (have - most * peak) * group.bytes_per_block
        for group, peak, have in zip(plan.groups, peaks, blocks, strict=True)
    }
    assert point.idle_bytes == sum(left[keep] for keep in left if keep not in point.fills_first)


def test_a_size_result_has_the_balance_at_fixed_contexts_and_the_one_asked_for() -> None:
    paged = registry().engine("paged").what
    jamba = catalogue_model("jamba-1.5-mini")
    asked = Request(tokens=8000, max_model_len=4096, memory_bytes=JAMBA)
    result = size_model(jamba, paged, asked)
    assert [point.tokens for point in result.balance] == [1024, 4096, 8000, 32_768, 131_072]
    assert size_model(jamba, paged, replace(asked, memory_bytes=None)).balance == ()
    assert size_model(jamba, registry().engine("logical").what, asked).balance == ()
    assert [p.tokens for p in size_model(jamba, paged, replace(asked, tokens=0)).balance] == [
        *(1024, 4096, 32_768, 131_072)
    ]


def test_groups_of_one_pool_share_it() -> None:
    # Gemma 3 27B in vLLM: 7 groups in 40 GiB of blocks of 16 x 8,192 B x 10 layers: 32,768 blocks.
    # Of 1,024 tokens a group of all needs 64 blocks, each of the 6 of windows 65: one may start
    # inside a block.
    vllm = registry().engine("vllm").what
    asked = Request(tokens=1024, max_model_len=131_072, memory_bytes=40 * 2**30, sequences=8)
    points = size_model(catalogue_model("gemma-3-27b"), vllm, asked).balance
    (point,) = (each for each in points if (each.tokens, each.sequences) == (1024, 8))
    assert point.sequences_that_fit == 32_768 // (6 * 65 + 64)
    assert point.groups == (
        BalanceGroup("Last(1024)", ("sliding_attention",), 52, 32_768, 8 * 390, 8 * 390 / 32_768),
        BalanceGroup("All", ("attention",), 10, 32_768, 512, 512 / 32_768),
    )
    assert (point.fills_first, point.idle_bytes) == (("all groups",), 0)
