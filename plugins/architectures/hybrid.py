"""Hybrids: attention in some layers, recurrent state in the others (Jamba, 2403.19887)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    "jamba": {
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "attn_layer_period": 8,
        "attn_layer_offset": 4,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "num_key_value_heads": 8,
    },
    "nemotron_h": {
        "conv_kernel": 4,
        "n_groups": 8,
        "mamba_num_heads": 128,
        "mamba_head_dim": 64,
        "ssm_state_size": 128,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
}
"""What the config classes fill in when a published config leaves it out."""


class Hybrid:
    """Decoders that mix attention with Mamba layer by layer."""

    name = "hybrid"
    summary = "hybrids: attention in a few layers, recurrent state in the rest"
    reference = "jamba-1.5-mini"
    model_types = frozenset(
        {
            "bamba",
            "granitemoehybrid",
            "jamba",
            "nemotron_h",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Attention layers keep ``k`` and ``v``, the others their state."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[Hybrid]:
    """Offer the architecture ``hybrid``."""
    return [Hybrid()]
