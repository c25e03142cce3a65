"""What published configs leave out: the values that their config classes fill in."""

from typing import Any

import pytest

from kvprof.accounting import cache_groups, growing_per_token, per_token
from kvprof.binding import Dtypes, bind
from kvprof.config_file import parse_config
from kvprof.errors import ConfigError
from kvprof.model import Model, lay_out


def laid_out(**fields: Any) -> Model:
    return lay_out(parse_config(fields, name="test", source="test"))


def kept(**fields: Any) -> list[str]:
    return [str(layer.owns[0].keep) for layer in laid_out(**fields).layout.layers]


def test_gemma_3_4b_as_it_is_published() -> None:
    """Its text_config names four numbers; heads and their size come from the class.

    34 layers of K and V of 4 heads of 256 in 2 B: 4,096 B a row. Every 6th is full: 5 of them.
    """
    model = laid_out(
        model_type="gemma3",
        torch_dtype="bfloat16",
        text_config={
            "model_type": "gemma3_text",
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 34,
            "sliding_window": 1024,
        },
        vision_config={"hidden_size": 1152, "num_attention_heads": 16},
    )
    groups = cache_groups(bind(model.layout, Dtypes("bfloat16", "bfloat16", "bfloat16")))
    assert per_token(groups) == 34 * 4096 == 136 * 1024
    assert growing_per_token(groups) == 5 * 4096 == 20 * 1024


SIZES = {
    "num_hidden_layers": 6,
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
}


@pytest.mark.parametrize(
    ("model_type", "fields", "expected"),
    [
        ("gemma2", {}, ["Last(4096)", "All"] * 3),
        ("gemma3_text", {}, ["Last(4096)"] * 5 + ["All"]),
        ("cohere2", {}, ["Last(4096)"] * 3 + ["All"] + ["Last(4096)"] * 2),
        ("olmo3", {}, ["Last(4096)"] * 3 + ["All"] + ["Last(4096)"] * 2),
        ("gpt_oss", {}, ["Last(128)", "All"] * 3),
        ("cwm", {"sliding_window": 64}, ["All"] + ["Last(64)"] * 3 + ["All", "Last(64)"]),
        ("vaultgemma", {"sliding_window": 64}, ["Last(64)", "All"] * 3),
        ("modernbert-decoder", {}, ["All", "Last(64)", "Last(64)"] * 2),
        ("mistral", {}, ["Last(4096)"] * 6),
        ("mistral", {"sliding_window": None}, ["All"] * 6),  # v0.2 and later say null
        ("llama", {}, ["All"] * 6),
        # Qwen publishes a window and does not use it
        ("qwen2", {"sliding_window": 131072}, ["All"] * 6),
        ("qwen3", {"sliding_window": 131072, "num_hidden_layers": 36}, ["All"] * 36),
        (
            "qwen2",
            {"sliding_window": 64, "use_sliding_window": True, "max_window_layers": 4},
            ["All"] * 4 + ["Last(64)"] * 2,
        ),
        ("qwen2", {"sliding_window": 64, "use_sliding_window": True}, ["All"] * 6),  # from the 28th
    ],
)
def test_windows(model_type: str, fields: dict[str, Any], expected: list[str]) -> None:
    assert kept(model_type=model_type, **{**SIZES, **fields}) == expected


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [
        ("llama", (4, 128)),  # hidden size // heads
        ("gemma", (4, 256)),
        ("gemma2", (4, 256)),
        ("gemma3_text", (4, 256)),
        ("gpt_oss", (4, 64)),
        ("minimax_m2", (4, 128)),
    ],
)
def test_head_sizes(model_type: str, expected: tuple[int, int]) -> None:
    cache = laid_out(model_type=model_type, **SIZES).layout.layers[5].owns[0]
    assert cache.fields[0].shape == expected


def test_multi_query_is_the_default_of_two_families() -> None:
    sizes = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
    for model_type in ("gpt_bigcode", "falcon"):
        model = laid_out(model_type=model_type, **sizes)
        assert model.layout.layers[0].owns[0].fields[0].shape == (1, 128)
        assert model.architecture == "mqa"
        many = laid_out(model_type=model_type, **sizes, multi_query=False)
        assert many.layout.layers[0].owns[0].fields[0].shape == (16, 128)
        assert many.architecture == "mha"


def test_jamba_as_its_class_has_it() -> None:
    model = laid_out(
        model_type="jamba", num_hidden_layers=16, hidden_size=4096, num_attention_heads=32
    )
    keys = [layer.owns[0].key for layer in model.layout.layers]
    assert [index for index, key in enumerate(keys) if key == "attention"] == [4, 12]
    assert {key: f.shape for f in model.layout.layers[0].owns[0].fields for key in [f.name]} == {
        "conv_state": (3, 8192),
        "ssm_state": (8192, 16),
    }


@pytest.mark.parametrize(
    ("model_type", "fields", "expected"),
    [
        # d_conv 4 keeps 3 inputs; expand 2; d_state 16, or 128 in heads of 64 and 8 groups
        ("mamba", {}, {"conv_state": (3, 4096), "ssm_state": (4096, 16)}),
        (
            "mamba2",
            {"num_heads": 64},
            {"conv_state": (3, 4096 + 2 * 8 * 128), "ssm_state": (64, 64, 128)},
        ),
        ("recurrent_gemma", {}, {"conv_state": (3, 2048), "recurrent_state": (2048,)}),
        ("lfm2", {"layer_types": ["conv"] * 6}, {"conv_state": (2, 2048)}),
    ],
)
def test_states(
    model_type: str, fields: dict[str, Any], expected: dict[str, tuple[int, ...]]
) -> None:
    sizes = SIZES if model_type in {"recurrent_gemma", "lfm2"} else {}
    model = laid_out(
        model_type=model_type, **{"num_hidden_layers": 6, "hidden_size": 2048, **sizes, **fields}
    )
    assert {f.name: f.shape for f in model.layout.layers[0].owns[0].fields} == expected


def test_a_latent_has_no_default() -> None:
    """A DeepSeek without one would be read as 128 heads of keys and values: 85 times too much."""
    with pytest.raises(ConfigError, match="kv_lora_rank"):
        laid_out(model_type="deepseek_v3", **SIZES)


@pytest.mark.parametrize(
    ("label", "fields"),
    [
        ("mha", {"num_key_value_heads": 16}),
        ("gqa", {"num_key_value_heads": 4}),
        ("mqa", {"num_key_value_heads": 1}),
        ("sliding", {"sliding_window": 16}),
        ("chunked", {"attention_chunk_size": 16}),
        ("mla", {"kv_lora_rank": 512, "qk_rope_head_dim": 64}),
        ("sparse", {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "index_head_dim": 128}),
        ("linear", {"full_attn_idxs": [], "conv_L_cache": 3}),
        ("hybrid", {"full_attn_idxs": [1], "conv_L_cache": 3}),
    ],
)
def test_a_label_is_what_the_layout_shows(label: str, fields: dict[str, Any]) -> None:
    assert laid_out(model_type="llama", **{**SIZES, **fields}).architecture == label


def test_a_default_yields_to_another_spelling_of_the_same_thing() -> None:
    """Gemma's class says 256; some configs say `kv_channels`."""
    cache = laid_out(model_type="gemma", **SIZES, kv_channels=96).layout.layers[0].owns[0]
    assert cache.fields[0].shape == (4, 96)


def row_bytes(**fields: Any) -> int:
    """Bytes of one token in bfloat16."""
    layout = bind(laid_out(**fields).layout, Dtypes("bfloat16", "bfloat16", "bfloat16"))
    return int(per_token(cache_groups(layout)))


def test_llava_1_5_leaves_its_language_model_to_the_class() -> None:
    """A llama of 32 layers, 32 heads of 4096 / 32 = 128."""
    section = {"model_type": "llama", "vocab_size": 32064}
    assert row_bytes(model_type="llava", text_config=section) == 32 * 2 * 32 * 128 * 2


def test_bloom_176b_spells_its_width_n_embed() -> None:
    """70 layers of K and V, each as wide as the model."""
    bloom = {"n_embed": 14336, "n_layer": 70, "num_attention_heads": 112}
    assert row_bytes(model_type="bloom", **bloom) == 70 * 2 * 14336 * 2


def test_mpt_with_one_kv_head() -> None:
    """48 layers of K and V of one head of 7168 / 64 = 112."""
    mpt = {"d_model": 7168, "n_heads": 64, "n_layers": 48}
    attention = {"alibi": True, "attn_type": "multiquery_attention"}
    assert row_bytes(model_type="mpt", attn_config=attention, **mpt) == 48 * 2 * 112 * 2


def test_ring_attends_in_the_last_layer_of_each_group() -> None:
    ring = {**SIZES, "model_type": "bailing_moe_linear", "layer_group_size": 3, "head_dim": 128}
    assert kept(**ring) == ["Once", "Once", "All"] * 2
    with pytest.raises(ConfigError, match="layer_group_size 4 does not divide 6 layers"):
        kept(**{**ring, "layer_group_size": 4})
