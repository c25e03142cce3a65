"""Grouped-query attention: groups of query heads share a key and value head (2305.13245)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    **{
        model_type: {
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 28,
        }
        for model_type in ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe")
    },
    "gemma": {"head_dim": 256},
    "glm": {"num_key_value_heads": 2, "head_dim": 128},
    "internlm3": {"num_key_value_heads": 2, "head_dim": 128},
    "minimax_m2": {"num_key_value_heads": 8, "head_dim": 128},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "mixtral": {"num_key_value_heads": 8},
    "smollm3": {"num_key_value_heads": 4},
}
"""What the config classes fill in when a published config leaves it out."""


SECTION_DEFAULTS: dict[str, dict[str, Any]] = {
    **{
        model_type: {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
        for model_type in ("llama", "mistral", "mixtral", "qwen2")
    },
    "phi3": {"num_hidden_layers": 32, "hidden_size": 3072, "num_attention_heads": 32},
}
"""Sizes that the sections of multimodal configs leave to their class (LLaVA-1.5)."""


class GroupedQueryAttention:
    """Decoders of Llama's kind: ``num_key_value_heads`` may be all, some or one."""

    name = "gqa"
    summary = "grouped-query attention: a few K and V heads, each for a group of query heads"
    reference = "llama-3-8b"
    model_types = frozenset(
        {
            "apertus",
            "arcee",
            "cohere",
            "dbrx",
            "doge",
            "ernie4_5",
            "ernie4_5_moe",
            "exaone",
            "gemma",
            "glm",
            "glm4",
            "glm4_moe",
            "granite",
            "helium",
            "hunyuan_v1_dense",
            "hunyuan_v1_moe",
            "hy_v3",
            "internlm2",
            "internlm3",
            "llama",
            "minimax_m2",
            "minimax_m3",
            "ministral",
            "mistral",
            "mistral3",
            "mixtral",
            "nemotron",
            "olmo2",
            "olmoe",
            "phi3",
            "qwen2",
            "qwen2_moe",
            "qwen3",
            "qwen3_moe",
            "seed_oss",
            "smollm3",
            "starcoder2",
            "yi",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``k`` and ``v`` of the KV heads, in a window where there is one."""
        if config.model_type == "qwen3_moe":
            # configuration_qwen3_moe.py: a window in use is every layer's.
            config = config.overlaid({"max_window_layers": 0})
        if config.model_type == "glm4_moe":
            # modeling_glm4_moe.py: whole elements, also where heads do not divide the width.
            config = config.with_defaults({"head_dim": config.hidden // config.heads})
        defaults = DEFAULTS.get(config.model_type or "", {})
        if config.outer.get("model_type") != config.model_type:
            defaults = SECTION_DEFAULTS.get(config.model_type or "", {}) | defaults
        return read_layout(config.with_defaults(defaults))


@hookimpl
def kvprof_architectures() -> list[GroupedQueryAttention]:
    """Offer the architecture ``gqa``."""
    return [GroupedQueryAttention()]
