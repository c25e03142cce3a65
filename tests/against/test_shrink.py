"""A shrunk config keeps the pattern and the ratios, and no number of it grows."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.against.shrink import shrink_config
from kvprof.catalogue import read_catalogue
from kvprof.config_file import parse_config
from kvprof.layout import CacheLayout
from kvprof.model import lay_out

CATALOGUE = {model.name: model.config for model in read_catalogue()}


def numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, (*path, str(index)))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def pattern(layout: CacheLayout) -> list[Any]:
    """What each layer keeps and does, without sizes."""
    return [
        (
            [(type(c.keep), c.clock, [f.name for f in c.fields]) for c in layer.owns],
            [(access.layer, access.key, access.mode) for access in layer.does],
        )
        for layer in layout.layers
    ]


def layout_of(config: dict[str, Any]) -> CacheLayout:
    return lay_out(parse_config(config, name="test", source="test")).layout


def test_a_grouped_query_model_by_hand():
    # Head size 128 = 16 x 8; 64 and 8 heads by 4, so that two are left: 4 KV heads would be more.
    assert shrink_config(
        {
            "model_type": "llama",
            "num_hidden_layers": 80,
            "hidden_size": 8192,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "intermediate_size": 28672,
            "vocab_size": 128256,
            "eos_token_id": [128001, 128009],
            "rope_theta": 500000.0,
        }
    ) == {
        "model_type": "llama",
        "num_hidden_layers": 80,
        "hidden_size": 8192 // 64,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 256,
        "eos_token_id": [255, 255],
        "rope_theta": 500000.0,
    }


def test_widths_that_must_be_equal_stay_equal():
    # Mamba-2: heads x head size = expansion x hidden size = 8192.
    small = shrink_config(
        {
            "hidden_size": 4096,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "mamba_expand": 2,
            "mamba_n_heads": 128,
            "mamba_d_head": 64,
            "mamba_n_groups": 1,
            "mamba_d_state": 128,
        }
    )
    assert small["mamba_n_heads"] * small["mamba_d_head"] == 2 * small["hidden_size"] == 256
    assert (small["mamba_n_groups"], small["mamba_d_state"]) == (1, 128)


def test_windows_cap_within_what_is_run_and_experts_are_few():
    small = shrink_config(
        {"sliding_window": 4096, "num_experts": 128, "num_experts_per_tok": 8, "n_group": 8}
    )
    assert small == {
        "sliding_window": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
    }


def test_heads_still_divide_the_hidden_size_where_another_head_size_is_given():
    # Gemma 3 27B: 5376 / 32 = 168 is a multiple of 8, not of 16.
    small = shrink_config(
        {
            "hidden_size": 5376,
            "num_attention_heads": 32,
            "num_key_value_heads": 16,
            "head_dim": 128,
        }
    )
    assert small == {
        "hidden_size": 5376 // 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    }


def test_rows_of_experts_stay_multiples_of_8():
    # 2304 / 32 = 72; by 64 it would be 36, and of 2 bytes no multiple of 16.
    config = {"hidden_size": 2304, "num_attention_heads": 32, "head_dim": 128}
    assert shrink_config(config)["hidden_size"] == 36
    assert shrink_config(config | {"num_experts": 256})["hidden_size"] == 72


def test_an_odd_number_of_heads_stays():
    small = shrink_config({"hidden_size": 4544, "num_attention_heads": 71, "multi_query": True})
    assert (small["num_attention_heads"], small["hidden_size"]) == (71, 71 * 8)


def test_of_what_images_go_through_only_the_layers_become_few():
    vision = {"hidden_size": 1024, "num_attention_heads": 16, "depth": 2}
    assert shrink_config({"vision_config": vision | {"depth": 47}})["vision_config"] == vision
    small = shrink_config({"text_config": dict(vision), "vision_config": dict(vision)})
    assert small["vision_config"] == vision
    assert small["text_config"]["hidden_size"] < 1024


def test_sections_of_rope_fit_the_smaller_head():
    rope = {"rope_type": "default", "mrope_section": [16, 24, 24]}
    small = shrink_config({"head_dim": 128, "rope_parameters": rope})
    # Half of a head is what they divide: 16 + 24 + 24 = 64.
    assert sum(small["rope_parameters"]["mrope_section"]) == small["head_dim"] // 2


def test_sections_of_rope_that_cannot_be_halved_share_what_is_left():
    # Qwen3.5: a quarter of 256 is rotated, 11 + 11 + 10 = 32 pairs; of 16 it is 2 pairs.
    rope = {"mrope_section": [11, 11, 10], "partial_rotary_factor": 0.25}
    small = shrink_config({"head_dim": 256, "rope_parameters": rope})
    assert small["head_dim"] == 16
    assert small["rope_parameters"]["mrope_section"] == [0, 0, 2]


def test_rope_with_a_factor_for_each_dimension_becomes_plain():
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "long_factor": [1.0] * 48}
    small = shrink_config({"head_dim": 96, "rope_parameters": rope})
    assert small["rope_parameters"] == {"rope_type": "default", "rope_theta": 10000.0}


# Nemotron Super gives its KV heads as query heads over a number, layer by layer; the library does
# not know its type, so that it cannot be run, small or large.
@pytest.mark.parametrize("name", sorted(CATALOGUE.keys() - {"llama-nemotron-super-49b"}))
def test_the_pattern_of_every_model_of_the_catalogue_stays(name):
    config = CATALOGUE[name]
    assert pattern(layout_of(shrink_config(config))) == pattern(layout_of(config))


POWERS = st.integers(0, 7).map(lambda power: 1 << power)
KINDS = st.sampled_from(["full_attention", "sliding_attention"])


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    kv_heads, ratio = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    head_dim = draw(st.integers(1, 40)) * draw(POWERS)
    kinds = draw(st.lists(KINDS, min_size=1, max_size=9))
    config: dict[str, Any] = {
        "model_type": draw(st.sampled_from(["gemma3_text", "qwen2", "unheard_of"])),
        "num_hidden_layers": len(kinds),
        "num_attention_heads": kv_heads * ratio,
        "num_key_value_heads": kv_heads,
        "hidden_size": kv_heads * ratio * head_dim,
        "vocab_size": draw(st.integers(1, 300_000)),
        "sliding_window": draw(st.integers(1, 5000)),
        "layer_types": kinds,
        "bos_token_id": draw(st.integers(0, 300_000)),
    }
    if draw(st.booleans()):
        config["head_dim"] = head_dim
    return config


@given(configs())
def test_any_config_keeps_its_pattern_and_never_grows(config):
    before = copy.deepcopy(config)
    small = shrink_config(config)
    assert config == before
    assert small.keys() == config.keys()
    assert small["layer_types"] == config["layer_types"]
    assert small["num_hidden_layers"] == config["num_hidden_layers"]
    large = dict(numbers(config))
    assert all(0 <= size <= large[path] for path, size in numbers(small))
    heads, kv_heads = small["num_attention_heads"], small["num_key_value_heads"]
    assert heads % kv_heads == 0
    if kv_heads > 1:
        assert heads // kv_heads == config["num_attention_heads"] // config["num_key_value_heads"]
    assert small["hidden_size"] % heads == 0
    assert small.get("head_dim", 1) == small["hidden_size"] // heads or "head_dim" not in small


_HEADS = ["num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size"]
_ROPE = ["rope_parameters", "mrope_section", "partial_rotary_factor"]
FIELDS = st.sampled_from([*_HEADS, *_ROPE, "vocab_size", "text_config", "eos_token_id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=20,
)


@given(st.dictionaries(FIELDS, JSON, max_size=8))
def test_nonsense_is_shrunk_without_an_error_and_never_grows(config):
    small = shrink_config(config)
    large = dict(numbers(config))
    assert all(abs(size) <= abs(large[path]) for path, size in numbers(small))
