"""Which layer is what: every way in which published configs say it."""

from typing import Any

import pytest

from kvprof.config_file import parse_config
from kvprof.errors import ConfigError
from kvprof.layer_kinds import layer_kinds

LETTERS = {
    "F": "full",
    "S": "sliding",
    "C": "chunked",
    "M": "mamba",
    "P": "full+mamba",
    "L": "linear",
    "K": "kda",
    "V": "conv",
    "R": "recurrent",
    "X": "cross",
    "I": "full+indexer",
    "G": "lightning",
    "H": "hashed",
    "h": "hashed_local",
    "-": "none",
}


def kinds(fields: dict[str, Any]) -> tuple[str, ...]:
    return layer_kinds(parse_config(fields, name="test", source="test"))


def spelled(letters: str) -> tuple[str, ...]:
    return tuple(LETTERS[letter] for letter in letters)


def layers(count: int, **fields: Any) -> dict[str, Any]:
    return {"num_hidden_layers": count, "num_attention_heads": 8, **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (layers(3), "FFF"),
        # a word for each layer
        (
            layers(4, layer_types=["full_attention", "sliding_attention", "mamba", "conv"]),
            "FSMV",
        ),
        (layers(2, layer_types=["chunked_attention", "Full_Attention"]), "CF"),
        (layers(3, layers_block_type=["mamba", "hybrid", "attention"], mamba_d_state=16), "MPF"),
        # the library's words for a state say which only by the fields that are there
        (layers(2, layer_types=["linear_attention", "hybrid"], mamba_d_state=16), "MP"),
        (layers(2, layer_types=["linear_attention"] * 2, linear_num_key_heads=4), "LL"),
        (layers(2, layer_types=["linear_attention"] * 2, linear_num_heads=4), "KK"),
        (layers(2, layer_types=["indexed_attention", "minimax_m3_sparse"]), "II"),
        # GPT-Neo repeats groups of words
        (layers(5, attention_types=[[["global", "local"], 2], [["global"], 1]]), "FSFSF"),
        # Reformer, Llama 3.2 Vision, MiniMax-Text (1: softmax), Nemotron Super
        (layers(3, attn_layers=["local", "lsh", "local"]), "hHh"),
        (layers(4, cross_attention_layers=[1, 3, 8]), "FXFX"),
        (layers(3, attn_type_list=[0, 1, 0]), "GFG"),
        (
            layers(
                3,
                block_configs=[
                    {"attention": {"n_heads_in_group": 8, "no_op": False}},
                    {"attention": {"n_heads_in_group": None, "no_op": True}},
                    {"attention": {"n_heads_in_group": None, "replace_with_linear": True}},
                ],
            ),
            "F--",
        ),
        ({"layers_block_type": ["mamba", "attention"]}, "MF"),  # also with nothing else
        # Nemotron-H: M Mamba, * attention, - and E keep nothing
        ({"hybrid_override_pattern": "M-M*E"}, "M-MF-"),
        # RecurrentGemma: a cycle, whose attention is windowed
        (
            layers(
                8,
                block_types=["recurrent", "recurrent", "attention"],
                attention_window_size=2048,
            ),
            "RRSRRSRR",
        ),
        # Kimi Linear counts its full layers from 1
        (layers(5, linear_attn_config={"full_attn_layers": [4, 5]}), "KKKFF"),
        (
            layers(
                2,
                layer_types=["linear_attention", "full_attention"],
                linear_attn_config={"num_heads": 4},
            ),
            "KF",
        ),
        # Bamba and LFM2 count from 0
        (layers(4, attn_layer_indices=[1], mamba_d_state=16), "MFMM"),
        (layers(4, full_attn_idxs=[0, 2], conv_L_cache=3), "FVFV"),
        # Jamba: layers 4, 12, ... of every 8
        (
            layers(16, attn_layer_period=8, attn_layer_offset=4, mamba_d_state=16),
            "MMMMFMMMMMMMFMMM",
        ),
        (layers(3, attn_layer_period=3, mamba_d_state=16), "FMM"),
        # AFMoE counts from 1, ModernBERT from 0
        (layers(4, sliding_window=64, global_attn_every_n_layers=2), "SFSF"),
        (
            layers(4, sliding_window=64, local_attention=128, global_attn_every_n_layers=2),
            "FSFS",
        ),
        # EXAONE 4 spells its cycle
        (layers(6, sliding_window=64, sliding_window_pattern="LLLG"), "SSSFSS"),
        # Qwen3-Next: every 4th, counted from 1
        (layers(8, full_attention_interval=4, linear_num_key_heads=4), "LLLFLLLF"),
        # Gemma 3: every 6th is full
        (layers(13, sliding_window=1024, sliding_window_pattern=6), "SSSSSFSSSSSFS"),
        (layers(3, sliding_window=1024, sliding_window_pattern=1), "FFF"),
        # Mistral 7B v0.1: all in a window; Qwen2: switched off; from a layer on
        (layers(2, sliding_window=4096), "SS"),
        (layers(2, sliding_window=4096, use_sliding_window=False), "FF"),
        (layers(4, sliding_window=4096, max_window_layers=3), "FFFS"),
        (layers(2, sliding_window=4096, max_window_layers=9), "FF"),
        (layers(2, sliding_window=None), "FF"),
        # MiMo flags its windowed layers
        (layers(4, sliding_window=128, hybrid_layer_pattern=[0, 1, 1, 0]), "FSSF"),
        # Llama 4: layers with RoPE are chunked, every 4th has none
        (layers(8, attention_chunk_size=8192), "CCCFCCCF"),
        (layers(4, attention_chunk_size=8192, no_rope_layers=[1, 0, 1, 1]), "CFCC"),
        (layers(4, attention_chunk_size=8192, no_rope_layers=[]), "CCCF"),
        (layers(4, attention_chunk_size=8192, no_rope_layer_interval=2), "CFCF"),
        # a state size and no heads: Mamba
        ({"num_hidden_layers": 2, "state_size": 16}, "MM"),
        # a list is more than a pattern, and a pattern more than a window
        (
            layers(
                2,
                layer_types=["full_attention", "full_attention"],
                sliding_window=16,
                sliding_window_pattern=2,
            ),
            "FF",
        ),
    ],
)
def test_kinds(fields: dict[str, Any], expected: str) -> None:
    assert kinds(fields) == spelled(expected)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            layers(2, layer_types=["full_attention", "warp_drive"]),
            ["layer_types[1]", "'warp_drive'", "full_attention"],
        ),
        (layers(1, layer_types=[None]), ["layer_types[0]", "'None'"]),
        (layers(1, layer_types=[["full_attention"]]), ["layer_types[0]"]),
        (layers(1, layer_types=["x" * 9999]), ["'" + "x" * 40 + "'"]),
        (layers(3, layer_types=["full_attention"] * 2), ["names 2 layers", "there are 3"]),
        (layers(2, layer_types=[]), ["names 0 layers"]),
        ({"layers_block_type": ["mamba"] * 10_001}, ["10001", "10000"]),
        (layers(2, layer_types="full_attention"), ["layer_types", "must be a list"]),
        ({"hybrid_override_pattern": "M?*"}, ["hybrid_override_pattern[1]", "'?'"]),
        ({"hybrid_override_pattern": ["M"]}, ["hybrid_override_pattern", "text"]),
        (layers(2, block_types=[]), ["block_types is empty"]),
        (layers(2, linear_attn_config={"full_attn_layers": [3]}), ["layer 3 of 2"]),
        (layers(2, linear_attn_config={"full_attn_layers": [0]}), ["full_attn_layers is 0"]),
        (layers(2, linear_attn_config={}), ["full_attn_layers", "list"]),
        (layers(2, full_attn_idxs=[2], conv_L_cache=3), ["layer 2 of 2"]),
        (layers(2, full_attn_idxs=["0"], conv_L_cache=3), ['full_attn_idxs is "0"']),
        (layers(2, full_attn_idxs=7, conv_L_cache=3), ["full_attn_idxs", "list"]),
        (layers(8, attn_layer_period=4, attn_layer_offset=4), ["offset 4", "period 4"]),
        (layers(8, attn_layer_period=0), ["attn_layer_period is 0"]),
        (layers(8, full_attention_interval=0), ["full_attention_interval is 0"]),
        (layers(8, sliding_window=-5, sliding_window_pattern=0), ["sliding_window_pattern is 0"]),
        (layers(2, hybrid_layer_pattern=[0]), ["hybrid_layer_pattern", "2 layers"]),
        (layers(2, hybrid_layer_pattern=[0, 2]), ["hybrid_layer_pattern", "0 or 1"]),
        (layers(2, attention_chunk_size=4, no_rope_layers=[1]), ["no_rope_layers", "2 layers"]),
        (layers(2, layer_types=["linear_attention"] * 2), ["recurrent state", "d_state"]),
        (layers(2, attn_layers=["local", "odd"]), ["attn_layers", "lsh"]),
        (layers(2, attention_types=[["global"], 2]), ["attention_types"]),
        (layers(2, attention_types=[[["global"], 3]]), ["names 3 layers"]),
        (layers(2, block_configs=[{}, {}]), ["block_configs", "attention"]),
        (layers(2, block_configs=[{}]), ["block_configs has 1 layers"]),
        (
            layers(1, block_configs=[{"attention": {"window_length": 64}}]),
            ["block_configs has windows"],
        ),
        (layers(2, sliding_window=64, sliding_window_pattern="LX"), ["LX", "L and G"]),
    ],
)
def test_what_cannot_be_read_is_refused(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        kinds(fields)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("compress_ratios", [4, 128]),  # DeepSeek-V4: compressed attention
        # fields of a kind of layer that no layer has: some other field must have named it
        ("mamba_d_state", 16),
        ("linear_num_key_heads", 16),
        ("lru_width", 2560),
        ("conv_L_cache", 3),
    ],
)
def test_what_changes_the_cache_and_is_not_read_is_never_ignored(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        kinds(layers(2, **{field: value}))
    assert kinds(layers(2, **{field: None})) == ("full", "full")


def test_words_for_every_layer_leave_nothing_open() -> None:
    """The library saves the sizes of a state also where no layer has one."""
    words = ["full_attention", "full_attention"]
    assert kinds(layers(2, layer_types=words, conv_L_cache=3)) == ("full", "full")


def test_decoders_of_encoder_decoders_attend_to_the_encoder_in_every_layer() -> None:
    words = ["full_attention", "sliding_attention"]
    given = layers(2, layer_types=words, is_encoder_decoder=True)
    assert kinds(given) == ("full+cross", "sliding+cross")
