"""Kimi delta attention: a delta net with a gate for each channel, and MLA (2510.26692)."""

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import delta_net_cache, latent_cache, layer
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

KIMI_DEFAULTS = {"linear_num_heads": 32, "linear_head_dim": 128, "linear_conv_kernel_dim": 4}
"""What the config class fills in where a saved config leaves it out."""

_BAILING_HEAD_DIM = 128


class KimiDeltaAttention:
    """Kimi Linear, Kimi K3 and Ling 3: most layers keep a state, the others a latent."""

    name = "kda"
    summary = "KDA: a fixed matrix per head in most layers, latent attention in the rest"
    reference = "kimi-linear-48b"
    model_types = frozenset({"bailing_hybrid", "kimi_linear"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """MLA layers keep ``latent`` and ``k_rope``, KDA ones a state and their convolution."""
        if config.model_type == "bailing_hybrid":
            return _bailing(config)
        config.integer("kv_lora_rank")  # without it they would be read as having no latent
        return read_layout(config if config.has("linear_attn_config") else _saved(config))


def _saved(config: ModelConfig) -> ModelConfig:
    """Kimi Linear as transformers saves it: every fourth layer but the first attends."""
    if not config.has("layer_types"):
        words = [
            "full_attention" if index and index % 4 == 0 else "linear_attention"
            for index in range(config.layers)
        ]
        config = config.with_defaults({"layer_types": words})
    return config.with_defaults(KIMI_DEFAULTS)


def _bailing(config: ModelConfig) -> CacheLayout:
    """Ling 3 (transformers configuration_bailing_hybrid.py): every sixth layer attends.

    A saved config has ``linear_head_dim``; its ``head_dim`` is the RoPE key's by then.
    """
    group = config.integer("layer_group_size", default=6)
    words = config.items("layer_types") or [
        "linear_attention" if (index + 1) % group else "full_attention"
        for index in range(config.layers)
    ]
    if len(words) != config.layers or not {*map(str, words)} <= {
        "linear_attention",
        "full_attention",
    }:
        config.refuse(f"layer_types must name the attention of each of {config.layers} layers")
    heads = config.integer("linear_num_heads", default=config.heads)
    size = config.integer("linear_head_dim", "head_dim", default=_BAILING_HEAD_DIM)
    state = delta_net_cache(
        "kda",
        key_heads=heads,
        value_heads=heads,
        key_dim=size,
        value_dim=size,
        d_conv=config.integer(
            "linear_conv_kernel_dim", "short_conv_kernel_size", default=4, minimum=2
        ),
    )
    latent = latent_cache(
        config.integer("kv_lora_rank", default=512), config.integer("qk_rope_head_dim", default=64)
    )
    layers = (
        layer(index, latent if word == "full_attention" else state)
        for index, word in enumerate(words)
    )
    return bounded(config, CacheLayout(tuple(layers), config.heads))


@hookimpl
def kvprof_architectures() -> list[KimiDeltaAttention]:
    """Offer the architecture ``kda``."""
    return [KimiDeltaAttention()]
