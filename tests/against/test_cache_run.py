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


def test_an_unknown_activation_is_named():
    with pytest.raises(ConfigError, match="knows no hidden_act 'situ'"):
        run_caches(LLAMA | {"hidden_act": "situ"}, "bfloat16", (5,))


def test_of_rwkv_each_tensor_has_all_layers():
    rwkv = {"model_type": "rwkv", "hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 64}
    # Two shifted inputs in bfloat16, three sums in float32.
    run = run_caches(rwkv, "bfloat16", (5,))
    assert run.layer_bytes == {5: (32 * (2 * 2 + 3 * 4),) * 3}


def test_states_beside_the_layers_are_counted():
    minimax = LLAMA | {
        "model_type": "minimax",
        "layer_types": ["full_attention", "linear_attention", "full_attention"],
        "head_dim": 16,
        "num_local_experts": 2,
    }
    # (K + V) x 2 x 16 x 2 B per token; 4 heads of 16 x 16 in bfloat16.
    run = run_caches(minimax, "bfloat16", (5,))
    assert run.layer_bytes == {5: (640, 2048, 640)}


def test_cross_attention_to_images_has_something_to_read():
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    text = LLAMA | {"model_type": "mllama_text_model", "rope_parameters": rope}
    text |= {"cross_attention_layers": [1], "pad_token_id": 1, "head_dim": 16}
    vision = {"num_hidden_layers": 1, "num_global_layers": 1, "hidden_size": 64}
    vision |= {"attention_heads": 4, "intermediate_size": 64, "intermediate_layers_indices": [0]}
    mllama = {"model_type": "mllama", "text_config": text, "vision_config": vision}
    # (K + V) x 2 x 16 x 2 B per token, or position of the encoder.
    run = run_caches(mllama, "bfloat16", (5,))
    assert run.layer_bytes == {5: (640, ENCODER_TOKENS * 128, 640)}


OF_THE_CLASS = {
    # Its classes say 64 layers of experts and a hidden size of 4096.
    "jamba": {"model_type": "jamba"},
    "zamba2": {"model_type": "zamba2", "n_mamba_heads": 80, "mamba_headdim": 64},
    # Its class fills in the padding word 32000, its own vocabulary is made small.
    "phi3": LLAMA | {"model_type": "phi3", "head_dim": 16, "vocab_size": 32064},
    # Its class reads `head_dim`, and no `attention_head_dim`.
    "nemotron_h": {
        "model_type": "nemotron_h",
        "num_hidden_layers": 2,
        "hybrid_override_pattern": "M*",
        "hidden_size": 8192,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "attention_head_dim": 128,
        "mamba_num_heads": 256,
        "mamba_head_dim": 64,
        "n_groups": 8,
        "ssm_state_size": 128,
        "conv_kernel": 4,
        "expand": 2,
        "vocab_size": 131072,
    },
    # Published without the section in which the library looks for the language model.
    "step3p7": SLIDING | {"model_type": "step3p7", "hidden_size": 4096},
    # Its class adds the query to this spelling of a window.
    "mimo_v2_flash": LLAMA
    | {
        "model_type": "mimo_v2_flash",
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        "sliding_window": 128,
        "sliding_window_size": 128,
        "head_dim": 48,
        "v_head_dim": 32,
        "swa_num_key_value_heads": 4,
        "swa_head_dim": 48,
        "swa_v_head_dim": 32,
    },
}


@needs_engine
@pytest.mark.parametrize("name", OF_THE_CLASS)
def test_what_a_config_leaves_to_its_class_is_made_small_too(name):
    results = agreement(OF_THE_CLASS[name], name=name, source="a test")
    assert [problem for result in results for problem in result.problems] == []


@needs_engine
def test_another_version_than_the_engine_describes_is_named_where_they_differ(monkeypatch):
    engine = registry().engine("transformers").what
    monkeypatch.setattr(type(engine), "describes", "4.2")
    monkeypatch.setattr(type(engine), "convention", lambda self, layout: layout)
    below, above, _ = agreement(SLIDING, name="tiny", source="a test")
    assert below.problems == ()
    assert above.problems[-1].startswith("the engine transformers describes transformers 4.2, and")


@needs_engine
@pytest.mark.parametrize("config", [LLAMA, SLIDING, "gqa", "sliding"])
def test_the_kit_accepts_what_agrees(config):
    check_against_transformers(config)


def test_the_kit_names_what_differs():
    with pytest.raises(ConformanceError, match="at 40 tokens, layer 0: the layout says 1536"):
        check_against_transformers(SLIDING, engine="logical")
