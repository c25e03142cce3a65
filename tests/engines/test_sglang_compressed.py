"""Engine sglang and DeepSeek V4: pages of 256 tokens, rings of compressors, fixed shares."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof.accounting import cache_groups, logical_bytes
from kvprof.config_file import parse_config
from kvprof.errors import UsageError
from kvprof.model import catalogue_model, lay_out
from kvprof.plan import REQUEST_WASTES, AllocationPlan
from kvprof.registry import registry
from kvprof.size import Placement, Request, place

SGLANG = registry().engine("sglang").what
FLASH = catalogue_model("deepseek-v4-flash")
MEMORY_BYTES = 40 * 2**30

# Flash has windows in 43 layers, of which 21 compress 4 tokens and 20 compress 128. Pages of 256
# tokens: records of 584 B in pages of a multiple of 576 B, index keys of 128 + 4 B, and float32
# keys and gates of 512 (compressor) and 128 (indexer) in two series.
WINDOW_PAGE = 260 * 576  # 256 x 584 = 149,504
FOURTH_PAGE = 65 * 576  # 64 x 584 = 37,376
TWO_PAGE = 3 * 576  # 2 x 584 = 1,168
INDEX_PAGE = 64 * 132
RING_ROW = 2 * 2 * (512 + 128) * 4  # of both compressors of a layer
ALL_BLOCK = 21 * (FOURTH_PAGE + INDEX_PAGE) + 20 * TWO_PAGE
WINDOW_BLOCK = 43 * WINDOW_PAGE + 21 * 8 * RING_ROW
REQUEST_BLOCK = 20 * 128 * 2 * 512 * 4


def flash(tokens: int = 32_768, **asked: Any) -> Placement:
    request = Request(tokens=tokens, memory_bytes=MEMORY_BYTES, **asked)
    return place(FLASH, SGLANG, request)


def plan_of(placed: Placement) -> AllocationPlan:
    assert placed.plan is not None
    return placed.plan


def with_option(name: str, value: str) -> dict[str, Any]:
    return {"engine_options": (("sglang", name, value),)}


def test_pages_of_256_tokens_and_their_rings() -> None:
    everything, windows, requests = plan_of(flash()).groups
    assert (ALL_BLOCK, WINDOW_BLOCK, REQUEST_BLOCK) == (998_208, 8_160_000, 10_485_760)
    assert (everything.block_size, everything.bytes_per_block) == (256, ALL_BLOCK)
    assert (windows.block_size, windows.bytes_per_block) == (256, WINDOW_BLOCK)
    assert requests.bytes_per_block == REQUEST_BLOCK
    assert [g.peak_blocks(32_768) for g in (everything, windows, requests)] == [128, 2, 1]


def test_how_memory_is_shared_out() -> None:
    # 257 request slots and a ring and a row more of 128 rows, to a multiple of 128: 259 x 128 rows
    # of 4,096 B in 20 layers are 2,715,811,840 B. A page of all tokens takes a tenth of a window's
    # with it: 998,208 + 816,000 B. 40,233,861,120 B are 22,177 such, and 2,217 of windows.
    rings = 259 * 128 * 4096 * 20
    plan = plan_of(flash())
    everything, windows, requests = plan.groups
    assert everything.num_blocks == (MEMORY_BYTES - rings) // 1_814_208 == 22_177
    assert (windows.num_blocks, requests.num_blocks) == (2_217, 256)
    assert plan.concurrency == Fraction(22_177, 128)
    assert plan.concurrency_of(1024) == 256, "no more requests than rings"
    half = plan_of(flash(**with_option("swa_full_tokens_ratio", "0.5"))).groups
    pages = (MEMORY_BYTES - rings) // (998_208 + 4_080_000)
    assert [g.num_blocks for g in half[:2]] == [pages, pages // 2]


def test_drafted_tokens_take_rings_twice_as_long_and_a_layer_more() -> None:
    # Rings of 16 and 256 rows; 257 x 256 + 257 rows of requests come to 517 x 128. What the 43
    # layers take is multiplied by 44/43, and the draft layer has a window.
    everything, windows, requests = plan_of(flash(speculative=1)).groups
    ours = 43 * WINDOW_PAGE + 21 * 16 * RING_ROW
    assert windows.bytes_per_block == ours + WINDOW_PAGE
    assert requests.bytes_per_block == 2 * REQUEST_BLOCK
    left = MEMORY_BYTES - 517 * 128 * 4096 * 20
    assert everything.num_blocks == left * 430 // (44 * (10 * ALL_BLOCK + ours)) == 18_464
    assert windows.num_blocks == 1_846


@pytest.mark.parametrize(
    ("name", "gib", "ratio", "drafted", "pages"),
    [
        ("deepseek-v4-flash", 40, "0.1", 0, [22_177, 2_217, 256]),
        ("deepseek-v4-pro", 40, "0.1", 0, [14_960, 1_496, 256]),
        ("deepseek-v4-pro", 80, "0.3", 5, [13_506, 4_051, 256]),
        ("deepseek-v4-flash", 20, "0.5", 1, [2_641, 1_320, 256]),
    ],
)
def test_what_its_own_configurator_says(
    name: str, gib: int, ratio: str, drafted: int, pages: list[int]
) -> None:
    """Pages that calculate_pool_sizes of SGLang 0.5.23's DSV4PoolConfigurator returned."""
    chosen = with_option("swa_full_tokens_ratio", ratio)
    request = Request(tokens=1000, memory_bytes=gib * 2**30, speculative=drafted, **chosen)
    plan = plan_of(place(catalogue_model(name), SGLANG, request))
    assert [group.num_blocks for group in plan.groups] == pages


def test_what_300_tokens_waste() -> None:
    # Two pages of all and of windows. Of groups of 4 there are 75 in 128 rows, of 128 two in four;
    # each ring of 8 has been filled, and 8 of the 16 rows are needed.
    placed = flash(300)
    plan = plan_of(placed)
    logical = logical_bytes(cache_groups(placed.layout), 300)
    assert plan.reserved_bytes(300) == 2 * ALL_BLOCK + 2 * WINDOW_BLOCK + REQUEST_BLOCK
    records = 75 * (584 + 132) * 21 + 2 * 584 * 20 + 128 * 584 * 43
    assert plan.wastes(logical, 300) == {
        **dict.fromkeys(REQUEST_WASTES, 0),
        "convention": records + 8 * RING_ROW * 21 + REQUEST_BLOCK - logical,
        "window_slack": 172 * 584 * 43 + 8 * RING_ROW * 21,
        "tail": 212 * 584 * 43 + 53 * 716 * 21 + 2 * 584 * 20,
        "padding": 2 * (256 * 43 + 64 * 21 + 560 * 20),
    }
    # Four tokens into a page its ring has four rows that nothing was written to.
    assert plan.wastes(0, 260)["tail"] - plan.wastes(0, 264)["tail"] == (
        4 * 584 * 43 + 716 * 21 + 4 * RING_ROW * 21
    )


def evicted_pages(tokens: int, shared: bool) -> int:
    """Pages of a window that are free again, following a sequence token by token.

    Before the decode step of a sequence that then has s tokens, if s - 1 - 128 is 128 or more
    beyond what was freed: whole pages before s - 1 - 128, or where prompts share a beginning before
    s - 1 - 256 (schedule_batch.py, common.py).
    """
    freed = 0
    for length in range(1, tokens + 1):
        if length - 1 - 128 >= freed + 128:
            freed = max(freed, (length - 1 - (256 if shared else 128)) // 256 * 256)
    return freed // 256


@settings(max_examples=100)
@given(st.integers(0, 1500), st.booleans(), st.sampled_from([0, 1, 9]))
def test_every_page_and_ring_has_a_name(tokens: int, shared: bool, drafted: int) -> None:
    placed = flash(
        2000, speculative=drafted, **with_option("radix_cache", "on" if shared else "off")
    )
    plan = plan_of(placed)

    def held(length: int) -> list[int]:
        pages = -(-(length + drafted) // 256) if length else 0
        return [pages, pages - evicted_pages(length, shared), int(length > 0)]

    sizes = [group.bytes_per_block for group in plan.groups]
    reserved = sum(blocks * size for blocks, size in zip(held(tokens), sizes, strict=True))
    assert plan.reserved_bytes(tokens) == reserved
    logical = logical_bytes(cache_groups(placed.layout), tokens)
    wastes = plan.wastes(logical, tokens)
    assert tuple(wastes) == REQUEST_WASTES
    assert reserved == logical + sum(wastes.values())
    assert all(size >= 0 for name, size in wastes.items() if name != "convention")
    windows = plan.groups[1]
    most = max((held(length)[1] for length in range(max(0, tokens - 600), tokens + 1)), default=0)
    assert windows.peak_blocks(tokens) == most


def test_models_without_one_of_the_groups() -> None:
    fields = FLASH.config.fields | {"num_hidden_layers": 2, "num_nextn_predict_layers": 0}

    def keeps(*ratios: int) -> list[str]:
        config = parse_config({**fields, "compress_ratios": list(ratios)}, name="it", source="it")
        placed = place(lay_out(config), SGLANG, Request(tokens=10, memory_bytes=2**30))
        return [str(group.keep) for group in plan_of(placed).groups]

    assert keeps(0, 4) == ["All", "Last(128)"]
    assert keeps(0, 128) == ["All", "Last(128)", "Once"]
    with pytest.raises(UsageError, match="one entry for 4 or 128 tokens"):
        keeps(0, 8)


def test_too_little_memory_holds_nothing() -> None:
    plan = place(FLASH, SGLANG, Request(tokens=1024, memory_bytes=2**30)).plan
    assert plan is not None
    assert plan.num_blocks == 0
    assert plan.fits_one is False


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"block_size": 128}, "pages of 256 tokens"),
        ({"speculative": 10}, "at most 9 drafted tokens"),
        ({"cache_dtype": "bfloat16"}, "no such cache"),
    ],
)
def test_what_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flash(**asked)
