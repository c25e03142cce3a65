"""A config that no plugin claims: read by its fields, which are named, or refused."""

from typing import Any

import pytest

from kvprof.accounting import cache_groups, per_token
from kvprof.binding import Dtypes, bind
from kvprof.config_file import parse_config
from kvprof.errors import ConfigError
from kvprof.model import Model, lay_out
from kvprof.registry import engine
from kvprof.size import Request, size_model

PLAIN: dict[str, Any] = {
    "model_type": "zzz",
    "architectures": ["ZzzForCausalLM"],
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_size": 4096,
    "torch_dtype": "bfloat16",
}


def laid_out(document: dict[str, Any]) -> Model:
    return lay_out(parse_config(document, name="test", source="test"))


def row_bytes(document: dict[str, Any]) -> int:
    """Bytes of one token in bfloat16."""
    layout = bind(laid_out(document).layout, Dtypes("bfloat16", "bfloat16", "bfloat16"))
    return int(per_token(cache_groups(layout)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_heads_kv", 8),
        ("gqa_groups", 8),
        ("v_dim", 64),
        ("window", 512),
        ("attention_window", 512),
        ("local_layers", [1, 2]),
        ("global_attention_period", 4),
        ("attention_type", "linear"),
        ("use_linear_attention", True),
        ("mamba_layers", [1, 2]),
        ("ssm_cfg", {"layer": "Mamba2"}),
        ("recurrent_layers", [1]),
        ("conv_kernel", 4),
        ("layers", ["mamba"] * 32),
        ("mixer_types", ["mamba"] * 32),
        ("block_pattern", ["mamba", "attn"]),
        ("layer_pattern", "LLLG"),
        ("yoco", True),
        ("cla_factor", 2),
        ("kv_share_map", [0] * 32),
        ("kv_latent_dim", 512),
        ("compression_ratio", 4),
        ("num_memory_tokens", 16),
        ("layer_group_size", 8),
    ],
)
def test_a_field_that_may_change_the_answer_is_never_passed_over(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{field}.* may change what its layers keep"):
        laid_out({**PLAIN, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attention_window", None),
        ("use_linear_attention", False),
        ("mamba_layers", []),
        ("num_memory_tokens", 0),
        ("attention_bias", True),
        ("attention_dropout", 0.1),
        ("rope_scaling", {"type": "linear", "factor": 2.0, "attention_factor": 1.0}),
        ("num_local_experts", 8),
        ("use_cache", True),
        ("attn_implementation", "sdpa"),
        ("vision_config", {"num_heads": 16, "window_size": 112}),
        ("head_bias", True),
        ("n_head", 32),
        ("top_k", 50),
        ("num_beam_groups", 1),
        ("reorder_and_upcast_attn", True),
        ("keys_to_ignore_at_inference", ["past_key_values"]),
    ],
)
def test_what_says_nothing_of_the_cache_is_passed_over(field: str, value: Any) -> None:
    assert laid_out({**PLAIN, field: value}).layout == laid_out(PLAIN).layout


@pytest.mark.parametrize(
    "field", ["n_kv_heads", "kv_heads", "n_kv_head", "kv_n_heads", "num_kv_groups"]
)
def test_other_spellings_of_kv_heads(field: str) -> None:
    """32 layers of K and V of 8 heads of 128 in 2 B."""
    assert row_bytes({**PLAIN, field: 8}) == 32 * 2 * 8 * 128 * 2


def test_the_fields_used_are_named() -> None:
    model = laid_out({**PLAIN, "num_key_value_heads": 8, "attention_bias": True})
    assert set(model.inferred_from) == {
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "hidden_size",
    }
    result = size_model(model, engine("logical"), Request(tokens=1))
    assert result.model.inferred_from == model.inferred_from


def test_a_model_that_a_plugin_claims_is_not_inferred() -> None:
    model = laid_out({**PLAIN, "model_type": "llama"})
    assert (model.inferred, model.inferred_from) == (False, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
        {"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"]},
        {"model_type": "distilbert", "architectures": ["DistilBertModel"]},
        {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
        {"model_type": "clip_vision_model", "architectures": None},
    ],
)
def test_an_encoder_keeps_no_cache(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is an encoder, which keeps no cache"):
        laid_out({**PLAIN, **fields})


def test_a_bert_that_decodes_is_read() -> None:
    decoder = {"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True}
    assert laid_out({**PLAIN, **decoder}).layout == laid_out(PLAIN).layout


@pytest.mark.parametrize("model_type", ["gla", "hgrn2", "retnet", "gated_deltanet"])
def test_recurrences_that_nobody_reads_are_refused(model_type: str) -> None:
    with pytest.raises(ConfigError, match="keeps states that kvprof cannot read"):
        laid_out({**PLAIN, "model_type": model_type})


def test_openelm_has_other_heads_in_each_layer() -> None:
    """K and V of 3, 3, 4, 5 heads of 64 in 2 B."""
    openelm = {
        "model_type": "openelm",
        "head_dim": 64,
        "model_dim": 1280,
        "num_transformer_layers": 4,
        "num_gqa_groups": 4,
        "num_kv_heads": [3, 3, 4, 5],
        "num_query_heads": [12, 12, 16, 20],
        "qk_multipliers": [0.5, 1.0],
        "share_input_output_layers": True,
    }
    assert row_bytes(openelm) == (3 + 3 + 4 + 5) * 2 * 64 * 2


def test_deci_says_how_many_kv_heads_each_layer_has() -> None:
    deci = {**PLAIN, "model_type": "deci", "num_key_value_heads_per_layer": [4] * 30 + [1, 2]}
    assert row_bytes(deci) == (4 * 30 + 1 + 2) * 2 * 128 * 2
