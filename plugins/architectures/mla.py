"""Multi-head latent attention: one compressed latent per token (DeepSeek-V2, 2405.04434)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout


class LatentAttention:
    """Decoders of DeepSeek's kind, with or without a sparse-attention indexer."""

    name = "mla"
    summary = "multi-head latent attention: one latent and one RoPE key for all heads"
    reference = "deepseek-v3"
    model_types = frozenset(
        {
            "deepseek_v2",
            "deepseek_v3",
            "deepseek_v32",
            "glm4_moe_lite",
            "glm_moe_dsa",
            "kimi_k2",
            "longcat_flash",
            "minicpm3",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``latent`` and ``k_rope``, and ``index_k`` where it has an indexer."""
        config.integer("kv_lora_rank")  # without it they would be read as having no latent
        if config.model_type == "longcat_flash":
            # Each of its layers holds two attention sublayers, each with a cache of its own.
            sublayers = 2 * config.integer("num_layers")
            config = config.with_defaults({"num_hidden_layers": sublayers})
        return read_layout(config)


@hookimpl
def kvprof_architectures() -> list[LatentAttention]:
    """Offer the architecture ``mla``."""
    return [LatentAttention()]
