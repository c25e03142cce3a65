"""Engine vllm: equal to every plan that vLLM 0.33.0's own code made, to the last field."""

from pathlib import Path
from typing import Any

import pytest

from kvprof.config import ModelConfig
from kvprof.config_file import read_config
from kvprof.layers import (
    attention_cache,
    indexer_cache,
    latent_cache,
    layer,
    mamba1_cache,
    mamba2_cache,
)
from kvprof.layout import MODEL, Cache, CacheLayout, Field, Last, Layer, Tail
from kvprof.model import Model
from kvprof.plan import AllocationPlan
from kvprof.registry import registry
from kvprof.size import place, plan_facts

from .recorded import DATA, MEMORY_BYTES, PLANS, config_of, readable, recorded_plan, requested

pytestmark = pytest.mark.skipif(not PLANS, reason="no recorded plans beside the project")

VLLM = registry().engine("vllm").what


def compressor(name: str, dim: int, group: int, *, overlapping: bool) -> Cache:
    series = (("series", 2), ("dim", dim)) if overlapping else (("dim", dim),)
    fields = tuple(Field(field, series, MODEL) for field in ("kv", "gate"))
    return Cache(f"{name}_tail", fields, Tail(group))


def deepseek_v4(config: ModelConfig) -> CacheLayout:
    """A window of 128; beside it one entry for 4 tokens and an indexer, or one for 128."""
    window = Cache("sliding_latent", latent_cache(448, 64).fields, Last(128))

    def of_ratio(index: int, ratio: int) -> Layer:
        entry = Cache("latent", latent_cache(448, 64).fields, entry_tokens=ratio or 1)
        if ratio == 4:
            indexer = Cache("indexer", indexer_cache(128).fields, entry_tokens=4)
            tails = [
                compressor("latent", 512, 4, overlapping=True),
                compressor("indexer", 128, 4, overlapping=True),
            ]
            return layer(index, window, entry, indexer, *tails)
        if ratio == 128:
            return layer(index, window, entry, compressor("latent", 512, 128, overlapping=False))
        return layer(index, window)

    ratios = config.fields["compress_ratios"][: config.integer("layers")]
    return CacheLayout(tuple(of_ratio(i, ratio) for i, ratio in enumerate(ratios)))


def falcon_h1(config: ModelConfig) -> CacheLayout:
    caches = attention_cache(2, 128), mamba2_cache(24, 128, 256, 1, 4)
    return CacheLayout(tuple(layer(i, *caches) for i in range(44)))


def jamba(config: ModelConfig) -> CacheLayout:
    """Attention in layers 4, 12, 20 and 28 of 32, Mamba-1 of 8192 channels in the others."""
    attention, state = attention_cache(8, 128), mamba1_cache(8192, 16, 4)
    return CacheLayout(tuple(layer(i, attention if i % 8 == 4 else state) for i in range(32)))


def zamba2(config: ModelConfig) -> CacheLayout:
    """Mamba-2 in all 54 layers, the shared attention block before nine of them."""
    attention, state = attention_cache(32, 160), mamba2_cache(80, 64, 64, 1, 4)
    shared = {6, 12, 18, 24, 30, 36, 42, 47, 51}
    return CacheLayout(
        tuple(layer(i, *((attention, state) if i in shared else (state,))) for i in range(54))
    )


def nemotron_super(config: ModelConfig) -> CacheLayout:
    """49 of 80 layers attend, with 8 heads each."""
    blocks = config.fields["block_configs"]
    attends = [i for i, b in enumerate(blocks) if not b["attention"]["no_op"]]
    return CacheLayout(tuple(layer(i, attention_cache(8, 128)) for i in attends))


BY_HAND = {
    "deepseek-ai--DeepSeek-V4-Flash.json": deepseek_v4,
    "extra--Falcon-H1-7B.json": falcon_h1,
    "extra--Jamba-v0.1.json": jamba,
    "extra--Zamba2-2.7B.json": zamba2,
    "nvidia--Llama-3_3-Nemotron-Super-49B-v1.json": nemotron_super,
}
"""Layouts of models whose configs the reader does not read yet, or not for lack of defaults."""


def model_by_hand(plan: dict[str, Any]) -> Model:
    config = read_config(config_of(plan))
    layout = BY_HAND[plan["config_file"]](config)
    return Model(config, layout, "hybrid", "by hand", inferred=False)


def facts_of(placed: AllocationPlan) -> dict[str, Any]:
    facts = plan_facts(placed)
    return {
        "bytes_per_block": facts.bytes_per_block,
        "bytes_per_request": facts.bytes_per_sequence,
        "blocks_per_request": facts.blocks_per_sequence,
        "group_block_sizes": [group.block_size for group in facts.groups],
        "group_blocks_per_request": [group.blocks_per_sequence for group in facts.groups],
        "num_blocks": facts.num_blocks,
        "max_concurrency": facts.max_concurrency,
        "kv_cache_size_tokens": facts.capacity_tokens,
    }


def assert_equal(plan: dict[str, Any], model: Model) -> None:
    for length, at_length in plan["by_max_model_len"].items():
        placed = place(model, VLLM, requested(plan, int(length))).plan
        assert placed is not None
        facts = facts_of(placed)
        if at_length.get("error"):
            assert facts.pop("max_concurrency") <= 1, "vLLM refuses to start"
            del facts["kv_cache_size_tokens"], facts["num_blocks"]
        assert facts == {name: at_length[name] for name in facts}
        groups = at_length.get("groups") or plan["groups"]
        for ours, facts_, theirs in zip(
            placed.groups, plan_facts(placed).groups, groups, strict=True
        ):
            assert sum(len(part.layers) for part in ours.parts) == theirs["n_layers"]
            assert facts_.padding_layers == theirs["padding_layers"]
            assert facts_.page_bytes == theirs["page_size_bytes"]
            assert ours.layers_bytes == theirs["bytes_used_per_block"]
            assert ours.filler_bytes == theirs["bytes_padding_per_block"]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_plan_that_vllm_made(path: Path) -> None:
    plan = recorded_plan(path)
    model = readable(plan)
    if model is None and plan["config_file"] in BY_HAND:
        pytest.skip("its config is not read; its layout by hand is tested below")
    assert model is not None, "a config that was read is not read any more"
    assert_equal(plan, model)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_plan_of_a_layout_by_hand(name: str) -> None:
    plan = recorded_plan(DATA / "vllm" / name)
    assert_equal(plan, model_by_hand(plan))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_layers_are_dealt_as_vllm_deals_them(path: Path) -> None:
    plan = recorded_plan(path)
    model = readable(plan)
    if model is None:
        pytest.skip("its config is not read")
    placed = place(model, VLLM, requested(plan, 8192)).plan
    assert placed is not None
    names = [name for group in plan["groups"] for name in group["layers"]]
    for ours, theirs in zip(placed.groups, plan["groups"], strict=True):
        if path.stem in NUMBERED_APART:
            kept = ours.parts[0].cache
            owners = sorted(i for g in placed.groups for i in g.layers if g.parts[0].cache == kept)
            kind = {_index(name) for name in names if _kind(name) == _kind(theirs["layers"][0])}
            numbers = [sorted(kind).index(_index(name)) for name in theirs["layers"]]
            assert [owners.index(layer) for layer in ours.layers] == numbers
        else:
            assert list(ours.layers) == sorted({_index(name) for name in theirs["layers"]})


NUMBERED_APART = ("extra--Falcon-H1-7B", "extra--Zamba2-2.7B")
"""Models whose modules vLLM does not number by layer: compared by their order among equals."""


def _kind(name: str) -> str:
    """A module's name without its numbers."""
    return "".join(letter for letter in name if not letter.isdigit())


def _index(name: str) -> int:
    """The layer's number in a module's name."""
    return next(int(part) for part in name.split(".") if part.isdigit())


def test_one_request_that_does_not_fit() -> None:
    # MiniMax-M2.5 at 196,608 tokens: 12,288 blocks of 62 x 65,536 B = 46.5 GiB of 40 GiB.
    plan = recorded_plan(DATA / "vllm" / "MiniMaxAI--MiniMax-M2.5.json")
    model = readable(plan)
    assert model is not None
    placed = place(model, VLLM, requested(plan, 196_608)).plan
    assert placed is not None
    assert placed.peak_bytes == 12_288 * 62 * 65_536 > MEMORY_BYTES
    assert placed.max_concurrency == pytest.approx(10_570 / 12_288)
