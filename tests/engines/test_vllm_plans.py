"""Engine vllm: equal to every plan that vLLM 0.33.0's own code made, to the last field."""

from pathlib import Path
from typing import Any

import pytest

from kvprof.model import Model
from kvprof.plan import AllocationPlan
from kvprof.registry import registry
from kvprof.size import place, plan_facts

from .recorded import DATA, MEMORY_BYTES, PLANS, model_of, recorded_plan, requested

pytestmark = pytest.mark.skipif(not PLANS, reason="no recorded plans beside the project")

VLLM = registry().engine("vllm").what


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
    assert_equal(plan, model_of(plan))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_layers_are_dealt_as_vllm_deals_them(path: Path) -> None:
    plan = recorded_plan(path)
    placed = place(model_of(plan), VLLM, requested(plan, 8192)).plan
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
    placed = place(model_of(plan), VLLM, requested(plan, 196_608)).plan
    assert placed is not None
    assert placed.peak_bytes == 12_288 * 62 * 65_536 > MEMORY_BYTES
    assert placed.max_concurrency == pytest.approx(10_570 / 12_288)
