"""The engine `transformers` by hand: what its caches hold where that is not what is needed."""

from typing import Any

import pytest

from kvprof.config_file import parse_config
from kvprof.errors import UsageError
from kvprof.model import lay_out
from kvprof.registry import engine
from kvprof.size import Request, size_model

BASE: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "dtype": "bfloat16",
}
ROW = 2 * 2 * 16 * 2
"""Bytes of K and V of 2 heads of 16 in bfloat16: 128."""


def reserved(fields: dict[str, Any], tokens: int, encoder_tokens: int = 0, **more: Any) -> int:
    model = lay_out(parse_config(fields, name="test", source="test"))
    request = Request(tokens=tokens, encoder_tokens=encoder_tokens, **more)
    result = size_model(model, engine("transformers"), request)
    assert result.plan is None
    assert result.bytes.reserved == result.bytes.logical + result.waste["convention"]
    return result.bytes.reserved


@pytest.mark.parametrize(
    ("fields", "tokens", "expected"),
    [
        ({}, 10, 2 * 10 * ROW),
        # a window between two steps lacks the newest token: 15 of 16
        ({"sliding_window": 16}, 10, 2 * 10 * ROW),
        ({"sliding_window": 16}, 15, 2 * 15 * ROW),
        ({"sliding_window": 16}, 16, 2 * 15 * ROW),
        ({"sliding_window": 16}, 99, 2 * 15 * ROW),
        # all but the last 0 rows are sliced off: none
        ({"sliding_window": 1}, 99, 2 * 99 * ROW),
        # a chunk is kept as a window: at 17 tokens 15, of which 1 is needed
        ({"attention_chunk_size": 16, "no_rope_layers": [1, 0]}, 17, (15 + 17) * ROW),
        # K = V once is kept twice, of one head of 32
        (
            {
                "attention_k_eq_v": True,
                "num_global_key_value_heads": 1,
                "global_head_dim": 32,
            },
            10,
            2 * 10 * 2 * 32 * 2,
        ),
        # GPT-Neo's local attention is a mask alone
        (
            {
                "model_type": "gpt_neo",
                "attention_types": [[["global", "local"], 1]],
                "window_size": 4,
                "num_key_value_heads": 4,
            },
            10,
            2 * 10 * 2 * ROW,
        ),
        # Falcon's new architecture broadcasts 2 heads to 4
        (
            {
                "model_type": "falcon",
                "new_decoder_architecture": True,
                "num_kv_heads": 2,
                "num_key_value_heads": None,
            },
            10,
            2 * 10 * 2 * ROW,
        ),
    ],
)
def test_attention(fields: dict[str, Any], tokens: int, expected: int) -> None:
    assert reserved({**BASE, **fields}, tokens) == expected


MAMBA = {"model_type": "mamba", "num_hidden_layers": 1, "hidden_size": 32, "dtype": "bfloat16"}
"""An inner size of 2 x 32 = 64; by its class's defaults a convolution of 4 and a state of 16."""


def test_states_are_float32_unless_asked_and_convolutions_have_a_column_more() -> None:
    column = 64 * 2
    assert reserved(MAMBA, 10) == 4 * column + 64 * 16 * 4
    assert reserved(MAMBA, 10, state_dtype="bfloat16") == 4 * column + 64 * 16 * 2


def test_recurrent_gemma_keeps_its_states_elsewhere() -> None:
    fields = {
        **BASE,
        "model_type": "recurrent_gemma",
        "block_types": ["recurrent", "attention"],
        "attention_window_size": 8,
        "lru_width": 64,
        "head_dim": 16,
    }
    assert reserved(fields, 20) == 7 * ROW


def test_encoder_positions_are_kept_beside_the_decoders_own() -> None:
    fields = {**BASE, "is_encoder_decoder": True}
    assert reserved(fields, 10, 12) == 2 * (10 + 12) * ROW
    assert reserved(fields, 10, 0) == 2 * 10 * ROW


def test_reformer_keeps_hidden_states_and_buckets() -> None:
    """64 hidden in bfloat16; 4 heads with one hash each in the second layer.

    Up to a chunk of 8 they are float32 (and none before it is full), from then on int64.
    """
    fields = {
        "model_type": "reformer",
        "attn_layers": ["local", "lsh"],
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "lsh_attn_chunk_length": 8,
        "dtype": "bfloat16",
    }
    states = 2 * 64 * 2
    assert reserved(fields, 7) == 7 * states
    assert reserved(fields, 8) == 8 * (states + 4 * 4)
    assert reserved(fields, 24) == 24 * (states + 4 * 8)


def test_byte_latents_of_patches_are_made_anew() -> None:
    """Local layers keep every byte; what the global ones and the cross attention need is not kept.

    Logical at 8 bytes of 4 a patch: 2 encoder and 1 decoder layers of 8 rows, a global layer of
    2 patches, and 2 vectors of each of the 2 patches for the decoder.
    """
    local = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    document = {
        "model_type": "blt",
        "dtype": "bfloat16",
        "patch_size": 4,
        "cross_attn_k": 2,
        "encoder_config": {**local, "num_hidden_layers": 2},
        "global_config": {**local, "num_hidden_layers": 1},
        "decoder_config": {**local, "num_hidden_layers": 1, "model_type": "blt_local_decoder"},
    }
    assert reserved(document, 8) == 3 * 8 * ROW
    model = lay_out(parse_config(document, name="test", source="test"))
    logical = size_model(model, engine("logical"), Request(tokens=8)).bytes.logical
    assert logical == (3 * 8 + 2 + 2 * 2) * ROW


@pytest.mark.parametrize("dtype", ["fp8", "int8", "nvfp4", "int4_per_token_head"])
def test_dtypes_that_no_dynamic_cache_has(dtype: str) -> None:
    with pytest.raises(UsageError, match="transformers has no such cache"):
        reserved(BASE, 10, cache_dtype=dtype)
    assert reserved(BASE, 10, cache_dtype="float32") == 2 * 10 * 2 * ROW


def test_a_published_mimo_counts_the_newest_token_apart() -> None:
    """configuration_mimo_v2_flash.py makes a window of 17 of 16, which keeps 16 between steps."""
    fields = {**BASE, "model_type": "mimo_v2_flash", "hybrid_layer_pattern": [1, 1]}
    published = {**fields, "sliding_window": 16, "sliding_window_size": 16}
    # windowed layers have 4 KV heads where nothing is said: twice those of full ones
    assert reserved(published, 99) == 2 * 16 * 2 * ROW
    assert reserved({**fields, "sliding_window": 17}, 99) == 2 * 16 * 2 * ROW
