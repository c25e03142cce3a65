"""Engine sglang: slots counted one by one, pools in fixed shares, refusals."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof.accounting import cache_groups, entry_bytes, logical_bytes
from kvprof.binding import Dtypes, bind
from kvprof.errors import UsageError
from kvprof.layers import attention_cache, layer, mamba2_cache
from kvprof.layout import All, CacheLayout, Chunk, Keep, Last, Once, entries
from kvprof.model import catalogue_model
from kvprof.plan import REQUEST_WASTES, AllocationPlan, Limits, PlanGroup
from kvprof.registry import registry
from kvprof.size import Request, place

SGLANG = registry().engine("sglang").what
BFLOAT16 = Dtypes("bfloat16", "float32", "bfloat16")
KEEPS: list[Keep] = [All(), Last(1), Last(7), Last(200), Chunk(20), Chunk(150)]


def evicted(window: int, tokens: int) -> int:
    """Slots of a window that are free again, following a sequence token by token.

    Before each decode step of a sequence that then has s tokens, everything before s - 1 - (w - 1)
    is freed once that is 128 tokens or more (schedule_batch.py, common.py).
    """
    freed = 0
    for length in range(1, tokens + 1):
        seen = length - 1 - (window - 1)
        if seen >= freed + 128:
            freed = seen
    return freed


def held_slots(group: PlanGroup, tokens: int) -> int:
    if isinstance(group.keep, Once):
        return int(tokens > 0)
    return tokens - (evicted(group.keep.n, tokens) if isinstance(group.keep, Last) else 0)


caches = st.lists(st.tuples(st.sampled_from([1, 2, 8]), st.sampled_from(KEEPS)), min_size=1)


@settings(max_examples=150)
@given(caches, st.booleans(), st.integers(0, 700))
def test_every_slot_has_a_name(attention: list[tuple[int, Keep]], state: bool, tokens: int) -> None:
    kept = [attention_cache(heads, 16, keep=keep) for heads, keep in attention]
    kept += [mamba2_cache(4, 16, 16, 1, 4)] * state
    layout = bind(CacheLayout(tuple(layer(i, c) for i, c in enumerate(kept))), BFLOAT16)
    plan = SGLANG.plan(layout, Limits(1000, memory_bytes=2**30))
    assert plan is not None
    reserved = sum(held_slots(group, tokens) * group.bytes_per_block for group in plan.groups)
    logical = logical_bytes(cache_groups(layout), tokens)
    wastes = plan.wastes(logical, tokens)
    assert plan.reserved_bytes(tokens) == reserved
    assert tuple(wastes) == REQUEST_WASTES
    assert reserved == logical + sum(wastes.values())
    left = sum(
        (held_slots(group, tokens) - entries(part.cache, tokens))
        * entry_bytes(part.cache)
        * len(part.layers)
        for group in plan.groups
        for part in group.parts
    )
    assert wastes == {**dict.fromkeys(REQUEST_WASTES, 0), "window_slack": left}
    for group in plan.groups:
        if not isinstance(group.keep, Once):
            most = max(held_slots(group, length) for length in range(tokens + 1))
            assert group.peak_blocks(tokens) == most


def placed(name: str, **asked: object) -> AllocationPlan:
    request = Request(tokens=32_768, memory_bytes=40 * 2**30, **asked)  # type: ignore[arg-type]
    plan = place(catalogue_model(name), SGLANG, request).plan
    assert plan is not None
    return plan


def test_windows_get_four_fifths_of_the_slots() -> None:
    # gpt-oss-20b: 12 full and 12 windowed layers of 2 x 8 x 64 x 2 B = 2,048 B a token.
    # 40 GiB // (24,576 + 0.8 x 24,576) = 970,904 slots of all tokens, 776,723 of windows.
    windowed, full = placed("gpt-oss-20b").groups
    assert (full.num_blocks, windowed.num_blocks) == (970_903, 776_722)
    assert (full.block_size, full.bytes_per_block, full.layers[:2]) == (1, 24_576, (1, 3))
    # A window of 128 holds up to 127 slots more, until 128 can be freed at once.
    assert windowed.peak_blocks(32_768) == 128 + 127
    assert placed("gpt-oss-20b").concurrency == Fraction(970_903, 32_768)
    smaller = placed("gpt-oss-20b", engine_options=(("sglang", "swa_full_tokens_ratio", "0.1"),))
    assert smaller.groups[1].num_blocks == 40 * 2**30 * 10 // (11 * 24_576)


def test_windows_without_a_pool_of_their_own_keep_everything() -> None:
    # Gemma 3 27B is in no list of SGLang: 62 layers of 8,192 B a token for all tokens.
    plan = placed("gemma-3-27b")
    (group,) = plan.groups
    assert group.num_blocks == 40 * 2**30 // (62 * 8192)
    assert plan.wastes(0, 4096)["window_slack"] == (4096 - 1024) * 52 * 8192


def test_states_get_nine_nineteenths_of_the_memory() -> None:
    # Qwen3-Next: 36 layers of 3 x 8,192 x 2 + 32 x 128 x 128 x 4 = 2,146,304 B; 12 full layers
    # of 2,048 B a token. States: 40 GiB x 0.9 / 1.9 holds 263 slots, of which one is set apart.
    states, full = placed("qwen3-next-80b").groups
    slot = 36 * 2_146_304
    assert states.bytes_per_block == slot
    assert states.num_blocks == 40 * 2**30 * 9 // (19 * slot) - 1 == 262
    assert full.num_blocks == (40 * 2**30 - 263 * slot) // (12 * 2048)
    # Prefix caching takes three slots a request.
    assert states.peak_blocks(100) == 3
    assert placed("qwen3-next-80b").concurrency == Fraction(full.num_blocks or 0, 32_768)
    off = placed("qwen3-next-80b", engine_options=(("sglang", "radix_cache", "off"),))
    assert off.groups[0].peak_blocks(100) == 1


def test_an_index_of_scales_has_pages_of_64_tokens() -> None:
    # DeepSeek-V3.2: 61 x (1,152 + 132) B a token.
    (group,) = placed("deepseek-v3.2").groups
    assert (group.block_size, group.bytes_per_block) == (64, 64 * 61 * (1152 + 132))
    assert len(group.blocks(65)) == 2
    fp8 = placed("deepseek-v3.2", cache_dtype="fp8").groups[0]
    assert fp8.bytes_per_block == 64 * 61 * (656 + 132)
    with pytest.raises(UsageError, match="pages of 64"):
        placed("deepseek-v3.2", block_size=16)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("llama-3-8b", {"cache_dtype": "int8"}, "sglang has no such cache"),
        ("xlstm-7b", {}, "no 'mlstm' layers"),
        ("gpt-oss-20b", {"block_size": 64}, "pages of one token only"),
        ("qwen3-next-80b", {"speculative": 2}, "between drafted tokens"),
        (
            "gpt-oss-20b",
            {"engine_options": (("sglang", "swa_full_tokens_ratio", "2"),)},
            "at most 1",
        ),
        ("gpt-oss-20b", {"engine_options": (("sglang", "page", "2"),)}, "no such setting"),
        ("gpt-oss-20b", {"engine_options": (("sglang", "radix_cache", "no"),)}, "on or off"),
    ],
)
def test_what_is_refused(name: str, asked: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        placed(name, **asked)
