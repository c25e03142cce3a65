"""Gated delta nets in most layers, attention in the others (2412.06464)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    "qwen3_next": {
        "full_attention_interval": 4,
        "linear_conv_kernel_dim": 4,
        "num_key_value_heads": 2,
        "head_dim": 256,
    },
    "qwen3_5_text": {"full_attention_interval": 4, "linear_conv_kernel_dim": 4},
    "qwen3_5_moe_text": {"full_attention_interval": 4, "linear_conv_kernel_dim": 4},
}
"""What the config classes fill in when a published config leaves it out."""


class GatedDeltaNet:
    """Qwen3-Next and its kin: three of four layers keep a state."""

    name = "gated_delta_net"
    summary = "gated delta nets: a fixed matrix per head in most layers, attention in the rest"
    reference = "qwen3-next-80b"
    model_types = frozenset(
        {"qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"}
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Attention layers keep ``k`` and ``v``, the others a state and a convolution."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[GatedDeltaNet]:
    """Offer the architecture ``gated_delta_net``."""
    return [GatedDeltaNet()]
