"""Attention and a state space model side by side in every layer (Falcon-H1, 2507.22448)."""

from typing import Any

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import attention_cache, layer, mamba2_cache
from kvprof.layout import CacheLayout

DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": 8,
    "mamba_d_ssm": 1024,
    "mamba_n_heads": 128,
    "mamba_d_head": "auto",
    "mamba_n_groups": 1,
    "mamba_d_state": 256,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
}
"""What the config class fills in when a published config leaves it out."""


class ParallelLayers:
    """Decoders whose layers add an attention and a Mamba-2 that see the same input."""

    name = "parallel"
    summary = "parallel layers: attention and Mamba-2 side by side, a cache and a state in each"
    reference = "falcon-h1-7b"
    model_types = frozenset({"falcon_h1"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``k``, ``v``, ``conv_state`` and ``ssm_state``."""
        layers = config.layers
        config = config.with_defaults(DEFAULTS)
        keys = attention_cache(config.kv_heads, config.head_dim)
        heads = config.integer("mamba_n_heads")
        state = mamba2_cache(
            heads,
            _head_dim(config, heads),
            config.integer("mamba_d_state"),
            config.integer("mamba_n_groups"),
            config.integer("mamba_d_conv", minimum=2),
        )
        built = tuple(layer(index, keys, state) for index in range(layers))
        return bounded(config, CacheLayout(built, config.heads))


def _head_dim(config: ModelConfig, heads: int) -> int:
    """Of the Mamba part: its inner size, ``mamba_d_ssm`` or expanded, in heads."""
    inner = (
        config.integer("mamba_d_ssm")
        if config.has("mamba_d_ssm")
        else config.scaled("mamba_expand", config.hidden)
    )
    if inner % heads:
        config.refuse(f"{heads} Mamba heads do not divide an inner size of {inner}")
    if config.value("mamba_d_head") not in (None, "auto"):
        head_dim = config.integer("mamba_d_head")
        if head_dim * heads != inner:
            config.refuse(f"{heads} Mamba heads of {head_dim} are no inner size of {inner}")
    return inner // heads


@hookimpl
def kvprof_architectures() -> list[ParallelLayers]:
    """Offer the architecture ``parallel``."""
    return [ParallelLayers()]
