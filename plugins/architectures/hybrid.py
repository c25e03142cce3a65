"""Hybrids: attention in some layers, recurrent state in the others (Jamba, 2403.19887)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    "jamba": {
        "attn_layer_period": 8,
        "attn_layer_offset": 4,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "num_key_value_heads": 8,
    },
    "qwen3_next": {
        "full_attention_interval": 4,
        "linear_conv_kernel_dim": 4,
        "num_key_value_heads": 2,
        "head_dim": 256,
    },
    "qwen3_5_text": {"full_attention_interval": 4, "linear_conv_kernel_dim": 4},
    "qwen3_5_moe_text": {"full_attention_interval": 4, "linear_conv_kernel_dim": 4},
    "nemotron_h": {"conv_kernel": 4, "n_groups": 8},
    "recurrent_gemma": {
        "conv1d_width": 4,
        "attention_window_size": 2048,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
    "lfm2": {"conv_L_cache": 3},
}
"""What the config classes fill in when a published config leaves it out."""


class Hybrid:
    """Decoders that mix attention with Mamba, delta nets, recurrences or convolutions."""

    name = "hybrid"
    summary = "hybrids: attention in a few layers, recurrent state in the rest"
    reference = "jamba-1.5-mini"
    model_types = frozenset(
        {
            "bamba",
            "granitemoehybrid",
            "jamba",
            "kimi_linear",
            "lfm2",
            "lfm2_moe",
            "nemotron_h",
            "qwen3_5",
            "qwen3_5_moe",
            "qwen3_5_moe_text",
            "qwen3_5_text",
            "qwen3_next",
            "recurrent_gemma",
            "zamba2",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Attention layers keep ``k`` and ``v``, the others their state."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[Hybrid]:
    """Offer the architecture ``hybrid``."""
    return [Hybrid()]
