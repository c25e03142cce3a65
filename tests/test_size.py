"""`size` results: the contract's fields, to the letter, and what they say."""

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from kvprof import __version__
from kvprof.catalogue import read_catalogue
from kvprof.document import Document, document_json, json_schema
from kvprof.errors import PluginError
from kvprof.layers import attention_cache, layer
from kvprof.layout import CacheLayout
from kvprof.model import Model, catalogue_model, lay_out
from kvprof.paging import paged_plan
from kvprof.plan import REQUEST_WASTES, AllocationPlan, Limits
from kvprof.registry import registry
from kvprof.result import number
from kvprof.size import Request, place, size_model

VALIDATOR = Draft202012Validator(json_schema())
MODELS = {model.name: lay_out(model.model_config()) for model in read_catalogue()}


def sized(model: Model, engine: str = "logical", **request: Any) -> dict[str, Any]:
    """A result as its reader finds it in the JSON."""
    result = size_model(model, registry().engine(engine).what, Request(**request))
    fields: dict[str, Any] = document(result)["results"][0]
    return fields


def document(*results: Any, kind: str = "size") -> dict[str, Any]:
    text = document_json(Document(kind, results, ("kvprof", "size")), {"python": "3"})
    parsed: dict[str, Any] = json.loads(text)
    return parsed


# ---------------------------------------------------------------- the contract

RESULT = {
    *("model", "engine", "cache_dtype", "state_dtype", "tokens", "encoder_tokens", "sequences"),
    *("block_size", "tensor_parallel", "bytes", "waste", "caches"),
}
MODEL = {"name", "source", "model_type", "architecture", "plugin", "inferred"}
BYTES = {
    "logical",
    "reserved",
    "per_token",
    "growing_per_token",
    "window",
    "fixed_per_sequence",
}
CACHE = {"name", "keep", "layers", "entry_tokens", "tensors", "bytes_per_token", "bytes"}
TENSOR = {"name", "shape", "dtype", "bytes"}
PLAN = {
    *("groups", "bytes_per_block", "num_blocks", "blocks_per_sequence", "bytes_per_sequence"),
    *("max_concurrency", "capacity_tokens"),
}
GROUP = {
    *("keep", "layers", "padding_layers", "block_size", "page_bytes", "blocks_per_sequence"),
}


@pytest.mark.parametrize("engine", ["logical", "paged"])
@pytest.mark.parametrize(
    "name", ["gpt2-xl", "deepseek-v3.2", "gemma-3-27b", "mamba-2.8b", "kimi-k3"]
)
def test_exactly_the_contracts_fields(name: str, engine: str) -> None:
    result = sized(MODELS[name], engine, tokens=4096)
    in_blocks = engine == "paged"
    assert set(result) == (RESULT | {"plan"} if in_blocks else RESULT)
    assert set(result["model"]) == MODEL
    assert set(result["bytes"]) == BYTES
    assert list(result["waste"]) == list(REQUEST_WASTES)
    for cache in result["caches"]:
        assert set(cache) == CACHE
        assert all(set(tensor) == TENSOR for tensor in cache["tensors"])
    if in_blocks:
        assert set(result["plan"]) == PLAN
        assert all(set(group) == GROUP for group in result["plan"]["groups"])
    assert result["block_size"] == (16 if in_blocks and name != "mamba-2.8b" else None)


def test_exactly_the_contracts_envelope() -> None:
    result = size_model(MODELS["gpt2"], registry().engine("paged").what, Request(tokens=1))
    written = document(result, result)
    assert list(written) == [
        *("schema_version", "kind", "kvprof_version", "argv", "environment", "results")
    ]
    assert written["kind"] == "size"
    assert written["kvprof_version"] == __version__
    assert written["argv"] == ["kvprof", "size"]
    assert written["environment"] == {"python": "3"}
    assert len(written["results"]) == 2


def test_what_is_no_number_is_never_written() -> None:
    result = size_model(MODELS["gpt2"], registry().engine("logical").what, Request(tokens=1))
    broken = msgspec.structs.replace(
        result, bytes=msgspec.structs.replace(result.bytes, per_token=float("nan"))
    )
    with pytest.raises(ValueError, match="JSON"):
        document(broken)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())


@settings(max_examples=150)
@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(["logical", "paged"]),
    st.integers(0, 2**40),
    st.integers(1, 100),
    st.one_of(st.none(), st.integers(0, 2**45)),
    st.one_of(st.none(), st.integers(1, 4096)),
)
def test_every_document_follows_the_schema(
    name: str,
    engine: str,
    tokens: int,
    sequences: int,
    memory: int | None,
    block_size: int | None,
) -> None:
    request = Request(
        tokens=tokens, sequences=sequences, memory_bytes=memory, block_size=block_size
    )
    result = size_model(MODELS[name], registry().engine(engine).what, request)
    VALIDATOR.validate(document(result))
    reserved = result.bytes.logical + sum(result.waste.values())
    assert result.bytes.reserved == reserved
    assert result.bytes.logical == sequences * sum(cache.bytes for cache in result.caches)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kind",), "guess"),
        (("schema_version",), "0.1"),
        (("results", 0, "tokens"), "4096"),
        (("results", 0, "bytes", "logical"), 1.5),
        (("results", 0, "caches", 0, "layers"), ["one"]),
        (("results", 0, "model", "inferred"), "no"),
    ],
)
def test_the_schema_sees_what_is_wrong(path: tuple[Any, ...], value: object) -> None:
    written = document(
        size_model(MODELS["gpt2"], registry().engine("paged").what, Request(tokens=1))
    )
    VALIDATOR.validate(written)
    place_of: Any = written
    for step in path[:-1]:
        place_of = place_of[step]
    place_of[path[-1]] = value
    with pytest.raises(ValidationError):
        VALIDATOR.validate(written)


@pytest.mark.parametrize("missing", ["logical", "per_token", "fixed_per_sequence"])
def test_the_schema_sees_what_is_missing(missing: str) -> None:
    written = document(
        size_model(MODELS["gpt2"], registry().engine("logical").what, Request(tokens=1))
    )
    del written["results"][0]["bytes"][missing]
    with pytest.raises(ValidationError):
        VALIDATOR.validate(written)


# ---------------------------------------------------------------- what they say


def test_deepseek_v3_2_cache_by_cache() -> None:
    result = sized(MODELS["deepseek-v3.2"], tokens=1000, sequences=3)
    latent, indexer = result["caches"]
    assert latent == {
        "name": "latent",
        "keep": "All",
        "layers": list(range(61)),
        "entry_tokens": 1,
        "tensors": [
            {"name": "latent", "shape": [512], "dtype": "bfloat16", "bytes": 1024},
            {"name": "k_rope", "shape": [64], "dtype": "bfloat16", "bytes": 128},
        ],
        "bytes_per_token": 61 * 1152,
        "bytes": 61 * 1152 * 1000,  # of one sequence
    }
    assert indexer["bytes_per_token"] == 61 * 256
    assert result["bytes"]["logical"] == 3 * 1000 * 61 * (1152 + 256)
    assert result["bytes"]["per_token"] == 61 * (1152 + 256)
    assert result["model"] == {
        "name": "deepseek-v3.2",
        "source": "catalogue:deepseek-v3.2",
        "model_type": "deepseek_v32",
        "architecture": "sparse",
        "plugin": f"sparse (kvprof {__version__})",
        "inferred": False,
    }


def test_a_plan_is_of_sequences_of_max_model_len() -> None:
    # Llama 3 8B: blocks of 16 tokens are 2 MiB. 1,000 tokens take 63 blocks, 8,192 take 512.
    result = sized(
        MODELS["llama-3-8b"], "paged", tokens=1000, max_model_len=8192, memory_bytes=2**31
    )
    assert result["bytes"]["reserved"] == 63 * 2**21
    assert result["waste"]["tail"] == 8 * 131_072  # 63 * 16 - 1000
    assert result["plan"] == {
        "groups": [
            {
                "keep": "All",
                "layers": list(range(32)),
                "padding_layers": 0,
                "block_size": 16,
                "page_bytes": 65_536,
                "blocks_per_sequence": 512,
            }
        ],
        "bytes_per_block": 2**21,
        "num_blocks": 1024,
        "blocks_per_sequence": 512,
        "bytes_per_sequence": 2**30,
        "max_concurrency": 2.0,
        "capacity_tokens": 16_384,
    }


def test_without_memory_the_pools_are_null() -> None:
    plan = sized(MODELS["llama-3-8b"], "paged", tokens=1000)["plan"]
    assert [plan[key] for key in ("num_blocks", "max_concurrency", "capacity_tokens")] == [None] * 3
    assert plan["blocks_per_sequence"] == 63


def test_the_block_size_asked_for_is_the_block_size_used() -> None:
    result = sized(MODELS["gemma-3-27b"], "paged", tokens=1000, block_size=100)
    assert result["block_size"] == 100
    assert {group["block_size"] for group in result["plan"]["groups"]} == {100}


@pytest.mark.parametrize("engine", ["logical", "paged"])
def test_no_tokens_need_no_bytes(engine: str) -> None:
    for name in ("llama-3-8b", "mamba-2.8b", "jamba-1.5-mini"):
        result = sized(MODELS[name], engine, tokens=0, memory_bytes=2**30)
        assert result["bytes"]["logical"] == result["bytes"]["reserved"] == 0


class Doubling:
    """An engine with a convention: it keeps everything in float32."""

    name = "doubling"
    summary = "keeps twice the bytes"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        layers = tuple(
            msgspec.structs.replace(
                each,
                owns=tuple(
                    msgspec.structs.replace(
                        cache,
                        fields=tuple(
                            msgspec.structs.replace(field, dtype="float32")
                            for field in cache.fields
                        ),
                    )
                    for cache in each.owns
                ),
            )
            for each in layout.layers
        )
        return CacheLayout(layers)

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan:
        return paged_plan(layout, limits, 16)


def test_what_an_engine_keeps_by_convention_is_a_waste_with_a_name() -> None:
    # GPT-2: 36,864 B a token in bfloat16, as much again by the convention; 100 tokens take 7 blocks
    # of 16, the 12 unfilled slots in float32.
    result = size_model(MODELS["gpt2"], Doubling(), Request(tokens=100, sequences=2))
    assert result.bytes.logical == 2 * 100 * 36_864
    assert result.bytes.per_token == 36_864, "what the architecture needs"
    assert result.waste["convention"] == 2 * 100 * 36_864
    assert result.waste["tail"] == 2 * 12 * 73_728
    assert result.bytes.reserved == 2 * 7 * 16 * 73_728
    assert result.bytes.reserved == result.bytes.logical + sum(result.waste.values())


def test_a_placement_binds_before_it_plans() -> None:
    request = Request(tokens=16, cache_dtype="fp8_ds_mla")
    placed = place(catalogue_model("deepseek-v3"), registry().engine("paged").what, request)
    assert placed.plan is not None
    assert placed.plan.bytes_per_block == 16 * 61 * 656


def test_a_number_is_an_integer_when_whole() -> None:
    assert json.dumps([number(4), number(4.5625)]) == "[4, 4.5625]"


def test_a_layout_of_a_plugin_needs_no_catalogue() -> None:
    model = MODELS["gpt2"]
    own = msgspec.structs.replace(
        model, layout=CacheLayout((layer(0, attention_cache(2, 8)),)), architecture="mine"
    )
    assert sized(own, tokens=10, cache_dtype="int8")["bytes"]["logical"] == 10 * 2 * 2 * 8


class _BrokenEngine:
    name = "broken"
    summary = "gives no plan"

    def __init__(self, plan):
        self._plan = plan

    def convention(self, layout):
        return layout

    def plan(self, layout, limits):
        return self._plan()


def _divide_by_zero():
    return 1 // 0


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (lambda: 42, "returned 42 from plan"),
        (_divide_by_zero, "failed in plan.*ZeroDivisionError"),
        (lambda: sys.exit(0), "failed in plan.*SystemExit"),
    ],
)
def test_an_engine_that_fails_is_named_and_not_an_internal_error(plan, why):
    with pytest.raises(PluginError, match=why) as caught:
        size_model(catalogue_model("gpt2"), _BrokenEngine(plan), Request(tokens=16))
    assert caught.value.exit_code == 4
    assert "'broken'" in str(caught.value)
