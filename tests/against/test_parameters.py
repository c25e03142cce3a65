"""Parameters that transformers makes of a config against counts that were published."""

from __future__ import annotations

from typing import Any

import pytest

from kvprof.config_file import parse_config
from kvprof.errors import ConfigError, UsageError
from kvprof.memory import weights_bytes
from kvprof.model import lay_out

pytest.importorskip("torch")
pytest.importorskip("transformers")

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "dtype": "bfloat16",
}
LAYER = 4096 * 4096 * 2 + 2 * 4096 * 1024 + 3 * 4096 * 14_336
"""Q and O, K and V, three matrices of the MLP."""
ENDS = 2 * 128_256 * 4096
NORMS = (2 * 32 + 1) * 4096


def weights(fields: dict[str, Any]) -> int | None:
    return weights_bytes("auto", lay_out(parse_config(fields, name="test", source="-")))


def test_llama_3_8b() -> None:
    # its card: 8,030,261,248 parameters
    assert 32 * LAYER + ENDS + NORMS == 8_030_261_248
    assert weights(LLAMA) == 2 * 8_030_261_248
    assert weights(LLAMA | {"dtype": "float32"}) == 4 * 8_030_261_248
    assert weights(LLAMA | {"tie_word_embeddings": True}) == 2 * (8_030_261_248 - ENDS // 2)


def test_checkpoints_in_fp8() -> None:
    fp8 = {"quantization_config": {"quant_method": "fp8"}}
    assert weights(LLAMA | fp8) == 32 * LAYER + 2 * (ENDS + NORMS)


def test_sizes_that_a_config_leaves_to_its_class() -> None:
    # GPT-2's card: 124,439,808 parameters, an MLP of 4 x 768
    gpt2 = {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12}
    assert weights(gpt2) == 2 * 124_439_808


def test_what_cannot_be_counted() -> None:
    packed = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    with pytest.raises(UsageError, match="packed by 'gptq'"):
        weights(LLAMA | packed)
    with pytest.raises(UsageError, match="does not know the model type"):
        weights(LLAMA | {"model_type": "kimi_k2", "kv_lora_rank": 512, "qk_rope_head_dim": 64})
    with pytest.raises(UsageError, match="at most 1024 are counted"):
        weights(LLAMA | {"model_type": "mixtral", "num_local_experts": 10**9})
    with pytest.raises(UsageError, match="models of at most 512 layers"):
        weights(LLAMA | {"num_hidden_layers": 9000})
    with pytest.raises(UsageError, match="cannot make this model"):
        weights(LLAMA | {"vocab_size": "many"})


def test_no_code_of_a_config_is_run() -> None:
    custom = {"auto_map": {"AutoModelForCausalLM": "other/repo--modeling.Model"}}
    assert weights(LLAMA | custom) == 2 * 8_030_261_248
    with pytest.raises((ConfigError, UsageError)):
        weights(custom | LLAMA | {"model_type": "of_nobody"})
