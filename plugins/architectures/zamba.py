"""Shared blocks that repeat: one attention block, called in several Mamba layers (2405.16712)."""

from collections.abc import Callable

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import attention_cache, layer, mamba1_cache, mamba2_cache
from kvprof.layout import Cache, CacheLayout

DEFAULTS: dict[str, dict[str, int]] = {
    "zamba": {
        "num_hidden_layers": 76,
        "hidden_size": 3712,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "n_mamba_heads": 2,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "attn_layer_period": 6,
        "attn_layer_offset": 4,
    },
    "zamba2": {
        "num_hidden_layers": 54,
        "hidden_size": 2560,
        "num_attention_heads": 32,
        "n_mamba_heads": 8,
        "mamba_d_state": 64,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_ngroups": 1,
    },
}
"""What the config classes fill in when a published config leaves it out."""

_CALLS = {"mamba": False, "linear_attention": False, "hybrid": True}
_ZAMBA2_CALLS = frozenset({6, 12, 18, 24, 30, 36, 42, 47, 51})


class SharedBlocks:
    """Zamba and Zamba2: stacks of Mamba, some layers of which call a shared attention block."""

    name = "zamba"
    summary = "shared blocks: Mamba layers that call one attention block, each call with a cache"
    reference = "zamba2-2.7b"
    model_types = frozenset({"zamba", "zamba2"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps a Mamba state; those that call the block keep ``k`` and ``v`` too."""
        config = config.with_defaults(DEFAULTS.get(config.model_type or "", {}))
        state = _STATES.get(config.model_type or "", _mamba2)(config)
        keys = attention_cache(
            config.integer("kv_heads", default=config.heads), _attention_head_dim(config)
        )
        layers = (
            layer(index, keys, state) if calls else layer(index, state)
            for index, calls in enumerate(_calling(config))
        )
        return bounded(config, CacheLayout(tuple(layers), config.heads))


def _calling(config: ModelConfig) -> list[bool]:
    """Which layers call the shared block."""
    layers = config.layers
    if (words := config.items("layers_block_type")) is None:
        if config.model_type == "zamba2":
            return [index in _ZAMBA2_CALLS for index in range(layers)]
        period, offset = config.integer("attn_layer_period"), config.integer("attn_layer_offset")
        # Counted from the fourth layer on, after two of Mamba and one that calls.
        return [i == 2 or (i > 2 and (i - 3) % period == offset) for i in range(layers)]
    if len(words) != layers or any(str(word) not in _CALLS for word in words):
        config.refuse(f"layers_block_type must name {', '.join(_CALLS)} for each of {layers}")
    return [_CALLS[str(word)] for word in words]


def _attention_head_dim(config: ModelConfig) -> int:
    """Of a layer's input beside the model's: twice the hidden size, in heads."""
    if config.has("attention_head_dim"):
        return config.integer("attention_head_dim")
    if 2 * config.hidden % config.heads:
        config.refuse(f"{config.heads} heads do not divide an input of {2 * config.hidden}")
    return 2 * config.hidden // config.heads


def _mamba1(config: ModelConfig) -> Cache:
    """Zamba's Mamba works in heads, each with a part of the channels: the same elements."""
    inner = config.scaled("mamba_expand", config.hidden)
    return mamba1_cache(
        inner, config.integer("mamba_d_state"), config.integer("mamba_d_conv", minimum=2)
    )


def _mamba2(config: ModelConfig) -> Cache:
    inner, heads = config.scaled("mamba_expand", config.hidden), config.integer("n_mamba_heads")
    if inner % heads:
        config.refuse(f"{heads} Mamba heads do not divide an inner size of {inner}")
    return mamba2_cache(
        heads,
        inner // heads,
        config.integer("mamba_d_state"),
        config.integer("mamba_ngroups"),
        config.integer("mamba_d_conv", minimum=2),
    )


_STATES: dict[str, Callable[[ModelConfig], Cache]] = {"zamba": _mamba1, "zamba2": _mamba2}


@hookimpl
def kvprof_architectures() -> list[SharedBlocks]:
    """Offer the architecture ``zamba``."""
    return [SharedBlocks()]
