"""Element types that engines choose: by checkpoint, by family, by what was asked for."""

from typing import Any

import pytest

from kvprof.config_file import parse_config
from kvprof.conventions import modelopt_dtype
from kvprof.errors import UsageError
from kvprof.layers import attention_cache, latent_cache, layer
from kvprof.layout import MODEL, All, Cache, CacheLayout, Field, Last, Tail
from kvprof.model import Model, catalogue_model, lay_out
from kvprof.registry import registry
from kvprof.size import Request, place

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 256,
    "torch_dtype": "bfloat16",
}
STATIC = {"num_bits": 8, "type": "float", "dynamic": False}


def dtypes_of(model: Model, engine: str, **asked: str) -> dict[str, str]:
    """The dtype of every tensor that an engine keeps, by name."""
    kept = place(model, registry().engine(engine).what, Request(tokens=1, **asked)).kept  # type: ignore[arg-type]
    return {field.name: field.dtype for _, cache in kept.caches() for field in cache.fields}


def llama(**fields: Any) -> Model:
    return lay_out(parse_config({**LLAMA, **fields}, name="it", source="it"))


@pytest.mark.parametrize(
    ("quantised", "dtype"),
    [
        ({"quant_method": "modelopt", "kv_cache_scheme": STATIC}, "fp8_e4m3"),
        ({"quant_method": "modelopt", "kv_cache_scheme": {**STATIC, "dynamic": True}}, None),
        (
            {"quant_method": "modelopt", "kv_cache_scheme": {"num_bits": 4, "type": "float"}},
            "nvfp4",
        ),
        ({"quant_method": "modelopt", "quantization": {"kv_cache_quant_algo": "FP8"}}, "fp8_e4m3"),
        ({"quant_method": "modelopt_fp4", "kv_cache_quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "modelopt", "kv_cache_quant_algo": "INT3"}, None),
        ({"quant_method": "modelopt", "kv_cache_quant_algo": 8}, None),
        ({"quant_method": "fp8", "kv_cache_quant_algo": "FP8"}, None),
        ({"quant_method": 5, "kv_cache_quant_algo": "FP8"}, None),
        ("fp8", None),
    ],
)
def test_what_a_checkpoint_asks_for(quantised: Any, dtype: str | None) -> None:
    config = parse_config({**LLAMA, "quantization_config": quantised}, name="it", source="it")
    assert modelopt_dtype(config) == dtype


def test_the_checkpoint_s_dtype_unless_another_was_asked_for() -> None:
    quantised = llama(quantization_config={"quant_method": "modelopt", "kv_cache_scheme": STATIC})
    for engine in ("vllm", "sglang"):
        assert dtypes_of(quantised, engine) == {"k": "fp8_e4m3", "v": "fp8_e4m3"}
        assert dtypes_of(quantised, engine, cache_dtype="bfloat16")["k"] == "bfloat16"
    assert dtypes_of(quantised, "logical")["k"] == "bfloat16"
    wrapped = {"quant_method": "modelopt", "kv_cache_quant_algo": "FP8"}
    outside = {"text_config": LLAMA, "quantization_config": wrapped}
    assert (
        dtypes_of(lay_out(parse_config(outside, name="it", source="it")), "vllm")["k"] == "fp8_e4m3"
    )


def test_any_scheme_of_compressed_tensors_is_fp8_to_vllm() -> None:
    quantised = llama(
        quantization_config={"quant_method": "compressed-tensors", "kv_cache_scheme": STATIC}
    )
    assert dtypes_of(quantised, "vllm")["k"] == "fp8_e4m3"
    weights_only = llama(
        quantization_config={"quant_method": "compressed-tensors", "kv_cache_scheme": None}
    )
    assert dtypes_of(weights_only, "vllm")["k"] == "bfloat16"


def test_float32_checkpoints_run_in_16_bits() -> None:
    assert dtypes_of(llama(torch_dtype="float32"), "vllm")["k"] == "bfloat16"
    assert dtypes_of(llama(torch_dtype="float32"), "sglang")["k"] == "float16"


# Convolutions run in the model's dtype; recurrent states by family.
STATES = {
    ("nemotron-h-8b", "vllm"): ("bfloat16", "float32"),
    ("granite-4.0-h-micro", "vllm"): ("bfloat16", "bfloat16"),
    ("granite-4.0-h-micro", "sglang"): ("bfloat16", "float32"),
}


@pytest.mark.parametrize(("point", "dtypes"), STATES.items(), ids=str)
def test_states(point: tuple[str, str], dtypes: tuple[str, str]) -> None:
    name, engine = point
    found = dtypes_of(catalogue_model(name), engine)
    assert (found["conv_state"], found["ssm_state"]) == dtypes
    eight_bits = dtypes_of(catalogue_model(name), engine, cache_dtype="fp8")
    assert (eight_bits["conv_state"], eight_bits["ssm_state"], eight_bits["k"]) == (
        *dtypes,
        "fp8_e4m3",
    )
    asked = dtypes_of(catalogue_model(name), engine, state_dtype="float16")
    assert asked["ssm_state"] == "float16"


def test_delta_nets() -> None:
    assert dtypes_of(catalogue_model("kimi-linear-48b"), "vllm")["recurrent_state"] == "float32"
    assert dtypes_of(catalogue_model("qwen3.5-27b"), "vllm")["recurrent_state"] == "float32"
    assert dtypes_of(catalogue_model("qwen3-next-80b"), "vllm")["recurrent_state"] == "bfloat16"
    assert dtypes_of(catalogue_model("qwen3-next-80b"), "sglang")["recurrent_state"] == "float32"


def test_an_index_beside_latents_is_fp8_with_scales() -> None:
    for engine in ("vllm", "sglang"):
        found = dtypes_of(catalogue_model("deepseek-v3.2"), engine)
        assert (found["latent"], found["index_k"]) == ("bfloat16", "fp8_e4m3")
        assert found["index_k_scale"] == "float32"
        eight_bits = dtypes_of(catalogue_model("deepseek-v3.2"), engine, cache_dtype="fp8")
        assert (eight_bits["latent_scale"], eight_bits["k_rope"]) == ("float32", "bfloat16")


def compressed(model_type: str, *, buffers: bool = True) -> Model:
    """Layers of DeepSeek V4: a window, an entry for 4 tokens and the buffer that it comes from."""
    config = parse_config({**LLAMA, "model_type": model_type}, name="it", source="it")
    fields = latent_cache(448, 64).fields
    tail = tuple(Field(name, (("series", 2), ("dim", 512)), MODEL) for name in ("kv", "gate"))
    caches = (
        Cache("window", fields, Last(128)),
        Cache("latent", fields, All(), entry_tokens=4),
        Cache("latent_tail", tail, Tail(4)),
        Cache("latent_overlap", tail, Last(1), entry_tokens=4),
    )[: 4 if buffers else 2]
    return Model(config, CacheLayout((layer(0, *caches),)), "mla", "by hand", inferred=False)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_compressors_are_windows_in_float32(engine: str) -> None:
    kept = place(compressed("deepseek_v4"), registry().engine(engine).what, Request(tokens=1)).kept
    caches = {cache.key: cache for cache in kept.layers[0].owns}
    assert set(caches) == {"window", "latent", "latent_tail"}, "the overlap is in the window"
    assert caches["latent_tail"].keep == Last(8)
    assert [field.dtype for field in caches["latent_tail"].fields] == ["float32", "float32"]
    assert {access.key for access in kept.layers[0].does} == set(caches)


def test_the_records_of_deepseek_v4_are_forced() -> None:
    for model_type, scale in (("deepseek_v4", (8,)), ("deepseek_v41", (14,))):
        for asked in ({}, {"cache_dtype": "fp8"}):
            request = Request(tokens=1, **asked)  # type: ignore[arg-type]
            model = compressed(model_type, buffers=False)
            placed = place(model, registry().engine("vllm").what, request)
            shapes = {field.name: field.shape for field in placed.kept.layers[0].owns[0].fields}
            assert shapes["latent_scale"] == scale
    for engine in ("vllm", "sglang"):
        found = dtypes_of(compressed("deepseek_v4"), engine)
        assert (found["latent"], found["k_rope"]) == ("fp8_e4m3", "bfloat16")
        with pytest.raises(UsageError, match="no such cache"):
            dtypes_of(compressed("deepseek_v4"), engine, cache_dtype="bfloat16")


def test_what_is_not_known_is_refused() -> None:
    for engine in ("vllm", "sglang"):
        with pytest.raises(UsageError, match=f"does not know how {engine} keeps 'latent_tail'"):
            dtypes_of(compressed("deepseek_v41"), engine)


def test_one_tensor_for_keys_and_values_is_two_to_engines() -> None:
    shared = attention_cache(2, 64, k_is_v=True)
    config = parse_config(LLAMA, name="it", source="it")
    model = Model(config, CacheLayout((layer(0, shared),)), "gqa", "by hand", inferred=False)
    assert list(dtypes_of(model, "logical")) == ["kv"]
    for engine in ("vllm", "sglang"):
        assert list(dtypes_of(model, engine)) == ["k", "v"]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_record_that_the_engine_chose_is_said_to_be_its_choice(engine: str) -> None:
    fields = {
        "model_type": "deepseek_v32",
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "hidden_size": 256,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "index_head_dim": 20,
    }
    model = lay_out(parse_config(fields, name="it", source="it"))
    with pytest.raises(UsageError, match=f"^{engine} keeps 'indexer' of this model in fp8_ds_mla"):
        dtypes_of(model, engine)
