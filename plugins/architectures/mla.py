"""Multi-head latent attention: one compressed latent per token (DeepSeek-V2, 2405.04434)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {"deepseek_v3": {"num_nextn_predict_layers": 1}}
"""What the config classes fill in when a published config leaves it out."""


class LatentAttention:
    """Decoders of DeepSeek's kind."""

    name = "mla"
    summary = "multi-head latent attention: one latent and one RoPE key for all heads"
    reference = "deepseek-v3"
    model_types = frozenset(
        {
            "deepseek_v2",
            "deepseek_v3",
            "glm4_moe_lite",
            "kimi_k2",
            "minicpm3",
            "mistral4",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``latent`` and ``k_rope``."""
        config.integer("kv_lora_rank")  # without it they would be read as having no latent
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[LatentAttention]:
    """Offer the architecture ``mla``."""
    return [LatentAttention()]
