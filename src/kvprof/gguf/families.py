"""Architectures of GGUF files: the ``model_type`` of each, and how it says what its layers keep."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from kvprof.gguf.attention import Fields, attention, blocks, latent
from kvprof.gguf.metadata import Metadata
from kvprof.gguf.states import (
    delta_nets,
    granite_hybrid,
    jamba,
    kimi_delta_nets,
    mamba1,
    mamba2,
    nemotron_h,
    parallel,
    rwkv,
    short_convolutions,
)
from kvprof.gguf.windows import all_windowed, chunks, exaone4, gemma4, window_pattern, windows


class Family(Struct, frozen=True):
    """How an architecture is read.

    Attributes
    ----------
    model_type
        Its name in transformers; None when it is the architecture's own.
    fields
        ``(metadata, layers)`` in, the fields of a config.json out.
    reads
        Beginnings of the keys, beyond those of plain attention, that ``fields`` reads.
    """

    model_type: str | None
    fields: Callable[[Metadata, int], Fields] = attention
    reads: tuple[str, ...] = ()


UNKNOWN = Family(None)

_LATENT = ("attention.kv_lora_rank",)
_INDEXED = (
    *_LATENT,
    "attention.indexer.head_count",
    "attention.indexer.key_length",
    "attention.indexer.top_k",
    "attention.indexer.types",
)
_SSM = ("ssm.",)
_DELTA = ("ssm.", "full_attention_interval", "attention.recurrent_layers")
_WKV = ("wkv.", "token_shift_count")
_WINDOW = ("attention.sliding_window",)
_WINDOWS = (
    *_WINDOW,
    "attention.key_length_swa",
    "attention.value_length_swa",
    "attention.shared_kv_layers",
)

_PLAIN = {
    # architectures whose name in transformers is another
    "command-r": "cohere",
    "dots1": "dots1",
    "ernie4_5-moe": "ernie4_5_moe",
    "glm4moe": "glm4_moe",
    "gptneox": "gpt_neox",
    "hunyuan-dense": "hunyuan_v1_dense",
    "hunyuan-moe": "hunyuan_v1_moe",
    "minimax-m2": "minimax_m2",
    "pangu-embedded": "pangu_embedded",
    "phi2": "phi",
    "qwen2moe": "qwen2_moe",
    "qwen2vl": "qwen2_vl_text",
    "qwen3moe": "qwen3_moe",
    "qwen3vl": "qwen3_vl_text",
    "qwen3vlmoe": "qwen3_vl_moe_text",
    # and those whose is the same
    **{
        name: name
        for name in (
            *("apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet"),
            *("bloom", "chameleon", "chatglm", "codeshell", "dbrx", "deepseek", "ernie4_5"),
            *("exaone", "gemma", "glm4", "gpt2", "gptj", "granite", "granitemoe", "grok"),
            *("grovemoe", "internlm2", "jais", "llama", "minicpm", "mistral3", "mpt", "nemotron"),
            *("olmo", "olmoe", "orion", "phimoe", "plamo", "qwen", "qwen2", "qwen3", "refact"),
            *("seed_oss", "smollm3", "stablelm", "starcoder2", "xverse"),
        )
    },
}


def _one_kv_head_or_more(metadata: Metadata, layers: int) -> Fields:
    """Falcon, StarCoder: a class that has one KV head unless it is told otherwise."""
    fields = attention(metadata, layers)
    several = fields["num_key_value_heads"] > 1
    return {**fields, "multi_query": False, "new_decoder_architecture": several}


FAMILIES: dict[str, Family] = {
    **{name: Family(model_type) for name, model_type in _PLAIN.items()},
    "falcon": Family("falcon", _one_kv_head_or_more),
    "starcoder": Family("gpt_bigcode", _one_kv_head_or_more),
    "deci": Family("nemotron-nas", blocks),
    "deepseek2": Family("deepseek_v3", latent, _LATENT),
    "minicpm3": Family("minicpm3", latent, _LATENT),
    "plm": Family("plm", latent, _LATENT),
    "deepseek32": Family("deepseek_v32", latent, _INDEXED),
    "glm-dsa": Family("glm_moe_dsa", latent, _INDEXED),
    "cohere2": Family("cohere2", windows(window_pattern(4)), _WINDOWS),
    "exaone4": Family("exaone4", exaone4, _WINDOWS),
    "gemma2": Family("gemma2", windows(window_pattern(2), window=4096), _WINDOWS),
    "gemma3": Family("gemma3_text", windows(window_pattern(6)), _WINDOWS),
    "gemma3n": Family("gemma3n_text", windows(window_pattern(5)), _WINDOWS),
    "gemma4": Family("gemma4_text", gemma4, _WINDOWS),
    "gpt-oss": Family("gpt_oss", windows(window_pattern(2)), _WINDOWS),
    "llama4": Family("llama4_text", chunks, _WINDOW),
    "mimo2": Family("mimo_v2_flash", windows(), _WINDOWS),
    "olmo2": Family("olmo2", windows(window_pattern(4)), _WINDOWS),
    "phi3": Family("phi3", windows(all_windowed), _WINDOW),
    "smallthinker": Family("smallthinker", windows(window_pattern(4, full_first=True)), _WINDOWS),
    "step35": Family("step3p5", windows(), _WINDOWS),
    "mamba": Family("mamba", mamba1, _SSM),
    "mamba2": Family("mamba2", mamba2, _SSM),
    "jamba": Family("jamba", jamba, _SSM),
    "granitehybrid": Family("granitemoehybrid", granite_hybrid, _SSM),
    "nemotron_h": Family("nemotron_h", nemotron_h, _SSM),
    "nemotron_h_moe": Family("nemotron_h", nemotron_h, _SSM),
    "falcon-h1": Family("falcon_h1", parallel, _SSM),
    "lfm2": Family("lfm2", short_convolutions, ("shortconv.",)),
    "lfm2moe": Family("lfm2_moe", short_convolutions, ("shortconv.",)),
    "qwen3next": Family("qwen3_next", delta_nets, _DELTA),
    "qwen35": Family("qwen3_5_text", delta_nets, _DELTA),
    "qwen35moe": Family("qwen3_5_moe_text", delta_nets, _DELTA),
    "rwkv6": Family("rwkv6", rwkv, _WKV),
    "rwkv7": Family("rwkv7", rwkv, _WKV),
    "kimi-linear": Family("kimi_linear", kimi_delta_nets, (*_LATENT, "ssm.", "kda.")),
}
"""``general.architecture``, and how it is read."""
