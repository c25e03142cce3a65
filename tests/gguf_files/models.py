"""Models as the converters of llama.cpp write them into GGUF files (``conversion/*.py``).

Plain data and functions, loaded by tests and by the fuzzer alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter

ROPE = {"rope.freq_base": 10_000.0}


def gqa(
    layers: int, hidden: int, heads: int, kv_heads: Any, head_dim: int | None
) -> dict[str, Any]:
    lengths = (
        {}
        if head_dim is None
        else {
            "attention.key_length": head_dim,
            "attention.value_length": head_dim,
        }
    )
    return {
        "block_count": layers,
        "context_length": 4096,
        "embedding_length": hidden,
        "feed_forward_length": 4 * hidden,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-6,
        **lengths,
        **ROPE,
    }


def ssm(conv: int, inner: int, state: int, rank: int, groups: int | None) -> dict[str, Any]:
    keys = {
        "ssm.conv_kernel": conv,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": rank,
    }
    return keys if groups is None else keys | {"ssm.group_count": groups}


def mla(layers: int, hidden: int, heads: int, nope: int, v: int) -> dict[str, Any]:
    """One KV head of the latent and the RoPE part: MLA as llama.cpp runs it."""
    return gqa(layers, hidden, heads, 1, None) | {
        "attention.q_lora_rank": 1536,
        "attention.kv_lora_rank": 512,
        "attention.key_length": 512 + 64,
        "attention.value_length": 512,
        "attention.key_length_mla": nope + 64,
        "attention.value_length_mla": v,
        "rope.dimension_count": 64,
    }


def where(layers: int, attending: set[int], kv_heads: int) -> list[int]:
    return [kv_heads if index in attending else 0 for index in range(layers)]


def nemotron_8b() -> dict[str, Any]:
    pattern = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
    kv_heads = [8 if letter == "*" else 0 for letter in pattern]
    widths = [21_504 if letter == "-" else 0 for letter in pattern]
    return (
        gqa(52, 4096, 32, kv_heads, 128)
        | ssm(4, 128 * 64, 128, 128, 8)
        | {"feed_forward_length": widths}
    )


GRANITE_ATTENDS = {5, 15, 25, 35}
KIMI_ATTENDS = {3, 7, 11, 15, 19, 23, 26}
MIMO_FULL = {0, 5, 11, 17, 23, 29, 35, 41, 47}
GEMMA_3N_FULL = set(range(4, 35, 5))
INDEXER = {
    "attention.indexer.head_count": 64,
    "attention.indexer.key_length": 128,
    "attention.indexer.top_k": 2048,
}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-3-8b": ("llama", gqa(32, 4096, 32, 8, None) | {"rope.dimension_count": 128}),
    "gpt2-xl": ("gpt2", gqa(48, 1600, 25, 25, None)),
    "falcon-7b": ("falcon", gqa(32, 4544, 71, 1, None)),
    "falcon-40b": ("falcon", gqa(60, 8192, 128, 8, None)),
    "starcoder": ("starcoder", gqa(40, 6144, 48, 1, None)),
    "qwen2.5-7b": ("qwen2", gqa(28, 3584, 28, 4, None)),
    "qwen3-30b-a3b": ("qwen3moe", gqa(48, 2048, 32, 4, 128)),
    "gemma-7b": ("gemma", gqa(28, 3072, 16, 16, 256)),
    "glm-4.5-air": (  # its draft layer is one of its blocks
        "glm4moe",
        gqa(47, 4096, 96, 8, 128) | {"nextn_predict_layers": 1},
    ),
    "gemma-2-9b": ("gemma2", gqa(42, 3584, 16, 8, 256) | {"attention.sliding_window": 4096}),
    "gemma-3-27b": ("gemma3", gqa(62, 5376, 32, 16, 128) | {"attention.sliding_window": 1024}),
    "gemma-3n-e4b": (
        "gemma3n",
        gqa(35, 2048, 8, 2, 256)
        | {
            "attention.sliding_window": 512,
            "attention.sliding_window_pattern": [i not in GEMMA_3N_FULL for i in range(35)],
            "attention.shared_kv_layers": 15,
        },
    ),
    "gpt-oss-20b": ("gpt-oss", gqa(24, 2880, 64, 8, 64) | {"attention.sliding_window": 128}),
    "olmo-3-7b": ("olmo2", gqa(32, 4096, 32, 32, None) | {"attention.sliding_window": 4096}),
    "llama-4-scout": ("llama4", gqa(48, 5120, 40, 8, 128)),
    "mimo-v2-flash": (  # three draft layers after its 48
        "mimo2",
        gqa(51, 4096, 64, [4 if i in MIMO_FULL else 8 for i in range(51)], 192)
        | {
            "attention.value_length": 128,
            "attention.sliding_window": 128,
            "attention.sliding_window_pattern": [int(i not in MIMO_FULL) for i in range(51)],
            "nextn_predict_layers": 3,
        },
    ),
    "step-3.5-flash": (  # windowed layers have more query heads
        "step35",
        gqa(45, 4096, 64, 8, 128)
        | {
            "attention.head_count": [64 if i % 4 == 0 else 96 for i in range(45)],
            "attention.sliding_window": 512,
            "attention.sliding_window_pattern": [i % 4 != 0 for i in range(45)],
        },
    ),
    "deepseek-v3": ("deepseek2", mla(61, 7168, 128, 128, 128)),
    "kimi-k2": ("deepseek2", mla(61, 7168, 64, 128, 128)),
    "deepseek-v3.2": ("deepseek32", mla(61, 7168, 128, 128, 128) | INDEXER),
    "glm-5": ("glm-dsa", mla(79, 6144, 64, 192, 256) | INDEXER | {"nextn_predict_layers": 1}),
    "glm-5.2": ("glm-dsa", mla(78, 6144, 64, 192, 256) | INDEXER | {"context_length": 2**20}),
    "mamba-2.8b": (
        "mamba",
        {
            "block_count": 64,
            "embedding_length": 2560,
            "attention.head_count": 0,
            "feed_forward_length": 0,
            **ssm(4, 5120, 16, 160, None),
            "ssm.dt_b_c_rms": False,
        },
    ),
    "mamba2-2.7b": (
        "mamba2",
        {
            "block_count": 64,
            "embedding_length": 2560,
            "attention.head_count": 0,
            "feed_forward_length": 0,
            **ssm(4, 5120, 128, 80, 1),
        },
    ),
    "jamba-1.5-mini": (
        "jamba",
        gqa(32, 4096, 32, where(32, {4, 12, 20, 28}, 8), None) | ssm(4, 8192, 16, 256, None),
    ),
    "granite-4.0-h-micro": (
        "granitehybrid",
        gqa(40, 2048, 32, where(40, GRANITE_ATTENDS, 8), None) | ssm(4, 4096, 128, 64, 1),
    ),
    "nemotron-h-8b": ("nemotron_h", nemotron_8b()),
    "lfm2-1.2b": (
        "lfm2",
        gqa(16, 2048, 32, where(16, {2, 5, 8, 10, 12, 14}, 8), None) | {"shortconv.l_cache": 3},
    ),
    "qwen3-next-80b": (
        "qwen3next",
        gqa(48, 2048, 16, 2, 256) | ssm(4, 4096, 128, 32, 16) | {"full_attention_interval": 4},
    ),
    "qwen3.5-27b": (  # with its draft layer
        "qwen35",
        gqa(65, 5120, 24, 4, 256) | ssm(4, 6144, 128, 48, 16) | {"nextn_predict_layers": 1},
    ),
    "kimi-linear-48b": (
        "kimi-linear",
        mla(27, 2304, 32, 128, 128)
        | {
            "attention.head_count_kv": where(27, KIMI_ATTENDS, 1),
            "ssm.conv_kernel": 4,
            "kda.head_dim": 128,
        },
    ),
}
"""By its name in the catalogue: ``general.architecture``, and its keys."""


def write_gguf(
    path: Path,
    architecture: str,
    keys: Mapping[str, Any],
    *,
    tensors: Mapping[str, np.ndarray] | None = None,
    others: Mapping[str, Any] | None = None,
    vocabulary: int = 50,
    **options: Any,
) -> Path:
    """Write a file; ``keys`` are without the architecture's name, ``others`` whole.

    A vocabulary and a chat template stand before the last key, as in no real file, since a reader
    must find it there too.
    """
    writer = GGUFWriter(path, architecture, **options)
    named = {f"{architecture}.{key}": value for key, value in keys.items()} | (others or {})
    for key, value in list(named.items())[:-1]:
        _add(writer, key, value)
    writer.add_token_list(["<s>", "a token", "é"] * vocabulary)
    writer.add_chat_template("{{ bos }}" * 100)
    for key, value in list(named.items())[-1:]:
        _add(writer, key, value)
    for tensor, array in (tensors or {}).items():
        writer.add_tensor(tensor, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
