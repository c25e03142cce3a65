"""GGUF files against the config.json of the same models: the same layouts, to the byte.

The files are those of `models.py`.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvprof.config_file import parse_config
from kvprof.errors import ConfigError
from kvprof.gguf.config import gguf_config
from kvprof.layout import All, Last
from kvprof.model import Model, catalogue_model, config_model, lay_out

_DATA = runpy.run_path(str(Path(__file__).with_name("models.py")))
MODELS: dict[str, tuple[str, dict[str, Any]]] = _DATA["MODELS"]
gqa, mla, ssm, INDEXER = (_DATA[name] for name in ("gqa", "mla", "ssm", "INDEXER"))


@pytest.mark.parametrize("name", MODELS)
def test_the_same_layout_as_its_config(write, name):
    architecture, keys = MODELS[name]
    model = config_model(str(write(architecture, keys, name=f"{name}.gguf")))
    expected = catalogue_model(name)
    # Draft layers are counted in the one, and may be left to the config's class in the other.
    assert model.layout.layers == expected.layout.layers
    assert model.layout.query_heads == expected.layout.query_heads
    assert (model.config.name, model.architecture) == (name, expected.architecture)
    assert not model.inferred


def test_falcon_h1_has_both_in_every_layer(write):
    """Falcon-H1 7B: K and V of 2 x 128, and a state of 24 heads x 128 x 256, in 44 layers."""
    keys = gqa(44, 3072, 12, 2, 128) | ssm(4, 24 * 128, 256, 24, 1)
    layout = config_model(str(write("falcon-h1", keys))).layout
    (layer,) = {tuple(layer.owns) for layer in layout.layers}
    shapes = {field.name: field.shape for cache in layer for field in cache.fields}
    assert len(layout.layers) == 44
    assert (shapes["k"], shapes["v"]) == ((2, 128), (2, 128))
    assert shapes["ssm_state"] == (24, 128, 256)
    assert np.prod(shapes["conv_state"]) == 3 * (24 * 128 + 2 * 256)


GEMMA_4_FULL = set(range(5, 30, 6))


def gemma_4_26b() -> dict[str, Any]:
    return gqa(30, 2816, 16, [2 if i in GEMMA_4_FULL else 8 for i in range(30)], 512) | {
        "attention.key_length_swa": 256,
        "attention.value_length_swa": 256,
        "attention.sliding_window": 1024,
        "attention.sliding_window_pattern": [i not in GEMMA_4_FULL for i in range(30)],
        "attention.shared_kv_layers": 0,
    }


def gemma_4_tensors(*, values_of_full_layers: bool) -> dict[str, np.ndarray]:
    parts = [("k", i) for i in range(30)]
    parts += [("v", i) for i in range(30) if values_of_full_layers or i not in GEMMA_4_FULL]
    return {f"blk.{i}.attn_{part}.weight": np.zeros((2, 32), np.float16) for part, i in parts}


def test_gemma_4_has_no_tensor_for_values_that_are_its_keys(write):
    tensors = gemma_4_tensors(values_of_full_layers=False)
    model = config_model(str(write("gemma4", gemma_4_26b(), tensors=tensors)))
    assert model.layout == catalogue_model("gemma-4-26b").layout


def test_gemma_4_with_values(write):
    tensors = gemma_4_tensors(values_of_full_layers=True)
    model = config_model(str(write("gemma4", gemma_4_26b(), tensors=tensors)))
    names = {field.name for cache in model.layout.layers[5].owns for field in cache.fields}
    assert names == {"k", "v"}


def test_gemma_4_without_its_tensors_is_not_guessed(write):
    with pytest.raises(ConfigError, match="told by its tensors"):
        config_model(str(write("gemma4", gemma_4_26b())))


def expected(**fields: Any) -> Model:
    return lay_out(parse_config(fields, name="expected", source="a test"))


def test_gemma_3_without_a_window_is_full(write):
    """The converter writes no window when the pattern is 1."""
    model = config_model(str(write("gemma3", gqa(26, 1152, 4, 1, 256))))
    assert {cache.keep for layer in model.layout.layers for cache in layer.owns} == {All()}


@pytest.mark.parametrize(("layers", "windowed"), [(64, 48), (30, 0)])
def test_exaone_4_has_windows_in_its_32b_only(write, layers, windowed):
    model = config_model(str(write("exaone4", gqa(layers, 5120, 40, 8, 128))))
    keeps = [cache.keep for layer in model.layout.layers for cache in layer.owns]
    assert (keeps.count(All()), keeps.count(Last(4096))) == (layers - windowed, windowed)


def test_phi_3_has_its_window_in_every_layer(write):
    keys = gqa(32, 3072, 32, 32, None) | {"attention.sliding_window": 2047}
    model = config_model(str(write("phi3", keys)))
    fields = {
        "model_type": "phi3",
        "num_hidden_layers": 32,
        "hidden_size": 3072,
        "num_attention_heads": 32,
        "sliding_window": 2047,
    }
    assert model.layout == expected(**fields).layout


def test_an_indexer_that_reuses_choices(write):
    keys = mla(4, 6144, 64, 192, 256) | INDEXER | {"attention.indexer.types": [1, 0, 0, 1]}
    layers = config_model(str(write("glm-dsa", keys))).layout.layers
    assert [len(layer.owns) for layer in layers] == [2, 1, 1, 2]


def test_an_unknown_architecture_of_plain_attention_is_inferred(write):
    model = config_model(str(write("newmodel", gqa(8, 1024, 16, 4, 64))))
    assert (model.inferred, model.config.model_type) == (True, "newmodel")
    assert (
        model.layout.layers
        == expected(
            model_type="llama",
            num_hidden_layers=8,
            hidden_size=1024,
            num_attention_heads=16,
            num_key_value_heads=4,
        ).layout.layers
    )


def test_fields_of_rwkv(write):
    keys = {
        "block_count": 24,
        "embedding_length": 2048,
        "attention.head_count": 0,
        "wkv.head_size": 64,
        "token_shift_count": 2,
    }
    config = gguf_config(write("rwkv7", keys))
    assert config.model_type == "rwkv7"
    assert config.fields == {"num_hidden_layers": 24, "hidden_size": 2048, "head_size": 64}


def test_fields_of_nemotron_super(write):
    """As its config.json has them: groups of heads, attention left out, or made linear."""
    keys = gqa(4, 8192, 64, None, None) | {
        "attention.head_count": [64, 0, 64, 64],
        "attention.head_count_kv": [8, 0, 0, 4],
    }
    blocks = gguf_config(write("deci", keys)).fields["block_configs"]
    assert [block["attention"] for block in blocks] == [
        {"n_heads_in_group": 8, "no_op": False, "replace_with_linear": False},
        {"n_heads_in_group": None, "no_op": True, "replace_with_linear": False},
        {"n_heads_in_group": None, "no_op": False, "replace_with_linear": True},
        {"n_heads_in_group": 16, "no_op": False, "replace_with_linear": False},
    ]


@pytest.mark.parametrize(
    ("architecture", "more", "said"),
    [
        ("newmodel", {"attention.sliding_window": 128}, "sliding_window'"),
        ("newmodel", {"attention.telepathy": True}, "'attention.telepathy' may change"),
        ("newmodel", {"ssm.state_size": 16}, "'ssm.state_size' may change"),
        ("llama", {"attention.sliding_window": 128}, "sliding_window'"),
        ("llama", {"ssm.state_size": 16}, "ssm.state_size"),
        ("qwen3", {"attention.causal": False}, "no cache between tokens"),
        ("arwkv7", {"wkv.head_size": 64}, "wkv.head_size"),
        ("rwkv7", {"wkv.head_size": 64, "token_shift_count": 1}, "token_shift_count is 1"),
        ("t5", {"decoder_block_count": 4}, "decoder_block_count"),
        ("mimo2", {"attention.sliding_window": 128}, "which layers are windowed"),
        ("llama", {"attention.head_count_kv": [4, 4, 4, 4, 2, 4, 4, 4]}, "layer 4 has 2 KV heads"),
        ("llama", {"attention.head_count_kv": [4, 0, 4, 4, 4, 4, 4, 4]}, "layer 1 has 0 KV heads"),
        ("llama", {"attention.head_count_kv": [4, 4]}, "holds 2 values for 8 layers"),
        ("llama", {"attention.head_count": 0}, "is 0 in every layer"),
        ("llama", {"attention.head_count": 1.5}, "attention.head_count is 1.5"),
        ("llama", {"attention.head_count": "many"}, "attention.head_count is"),
        ("llama", {"block_count": 0}, "llama.block_count is 0"),
        ("llama", {"block_count": 20_000}, "20000 layers"),
        ("llama", {"nextn_predict_layers": 8}, "has 0 layers"),
        ("clip", {}, "no language model"),
    ],
)
def test_what_cannot_be_known_is_refused(write, architecture, more, said):
    keys = gqa(8, 1024, 16, 4, None) | more
    with pytest.raises(ConfigError, match=said) as caught:
        config_model(str(write(architecture, keys)))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["adapter", "imatrix", "mmproj"])
def test_a_file_of_another_kind(write, kind):
    with pytest.raises(ConfigError, match="no language model"):
        config_model(str(write("llama", gqa(8, 1024, 16, 4, None), others={"general.type": kind})))
