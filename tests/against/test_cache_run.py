"""Caches of models that transformers really makes, in bytes worked out by hand."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from kvprof.against.agreement import agreement
from kvprof.against.cache_run import ENCODER_TOKENS, run_caches
from kvprof.errors import ConfigError
from kvprof.registry import registry
from kvprof.testing import ConformanceError, check_against_transformers

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "intermediate_size": 48,
    "vocab_size": 128,
}
SLIDING = LLAMA | {
    "model_type": "gemma2",
    "num_hidden_layers": 2,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention"],
}
needs_engine = pytest.mark.skipif(
    "transformers" not in registry().engines, reason="there is no engine `transformers`"
)


def test_grouped_queries():
    # (K + V) x 2 heads x 24 elements x 2 B = 192 B per token and layer.
    run = run_caches(LLAMA, "bfloat16", (5, 7))
    assert run.layer_bytes == {5: (960,) * 3, 7: (1344,) * 3}
    assert run_caches(LLAMA, "float32", (5,)).layer_bytes == {5: (1920,) * 3}


def test_a_window_keeps_one_entry_less_between_steps():
    run = run_caches(SLIDING, "bfloat16", (12, 40))
    assert run.layer_bytes == {12: (12 * 192, 12 * 192), 40: (15 * 192, 40 * 192)}


def test_recurrent_and_convolution_states():
    mamba = {
        "model_type": "mamba",
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "state_size": 16,
        "conv_kernel": 4,
        "expand": 2,
        "vocab_size": 128,
    }
    # 64 inner x 16 in float32 and 64 x 4 columns in bfloat16, whatever the length.
    states = 64 * 16 * 4 + 64 * 4 * 2
    run = run_caches(mamba, "bfloat16", (12, 40))
    assert run.layer_bytes == {12: (states,) * 2, 40: (states,) * 2}


def test_cross_attention_is_with_its_layer():
    bart = {
        "model_type": "bart",
        "is_encoder_decoder": True,
        "d_model": 64,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "vocab_size": 128,
    }
    # (K + V) x 64 x 2 B for each token and each position of the encoder.
    run = run_caches(bart, "bfloat16", (12,))
    assert run.layer_bytes == {12: ((12 + ENCODER_TOKENS) * 256,) * 2}


def test_of_a_multimodal_model_the_language_model_is_run():
    config = {"model_type": "llava", "text_config": LLAMA, "vision_config": {"hidden_size": 10**6}}
    run = run_caches(config, "bfloat16", (5,))
    assert (run.model_type, run.layer_bytes) == ("llama", {5: (960,) * 3})


def test_a_right_layout_agrees_and_nothing_is_on_stdout(capfd):
    results = agreement(LLAMA, name="tiny", source="a test", engine="logical")
    assert [(result.tokens, result.agrees) for result in results] == [
        (12, True),
        (40, True),
        (128, True),
    ]
    assert capfd.readouterr().out == ""


def test_layers_that_differ_are_named():
    """The bare architecture needs the whole window; the library keeps one entry less."""
    below, above, _ = agreement(SLIDING, name="tiny", source="a test", engine="logical")
    assert below.agrees
    # Head size 24 is halved: (K + V) x 2 x 12 x 2 B = 96 B for each of 16 and 15 entries.
    assert above.problems == ("layer 0: the layout says 1536 bytes, 1440 were kept",)


def test_an_unknown_model_type_is_explained():
    with pytest.raises(ConfigError, match="does not know the model type 'unheard_of'"):
        run_caches(LLAMA | {"model_type": "unheard_of"}, "bfloat16", (5,))


def test_code_that_a_config_names_is_never_run(tmp_path, monkeypatch):
    (tmp_path / "modeling_evil.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    evil = {
        "auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"},
        "_name_or_path": str(tmp_path),
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "quantization_config": {"quant_method": "awq"},
    }
    assert run_caches(LLAMA | evil, "bfloat16", (5,)).layer_bytes == {5: (960,) * 3}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"num_hidden_layers": 10_000}, "num_hidden_layers is 10000"),
        ({"hidden_size": 2**20, "num_attention_heads": 4}, "weights; at most"),
        ({"hidden_size": "wide"}, "cannot run this model"),
    ],
)
def test_what_cannot_be_run_is_a_fault_of_the_config(fields, why):
    with pytest.raises(ConfigError, match=why):
        run_caches(LLAMA | fields, "bfloat16", (5,))


@needs_engine
@pytest.mark.parametrize("config", [LLAMA, SLIDING, "gqa", "sliding"])
def test_the_kit_accepts_what_agrees(config):
    check_against_transformers(config)


def test_the_kit_names_what_differs():
    with pytest.raises(ConformanceError, match="at 40 tokens, layer 0: the layout says 1536"):
        check_against_transformers(SLIDING, engine="logical")
