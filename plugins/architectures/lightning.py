"""Lightning attention: a matrix state per head, with attention in a few layers (2501.08313)."""

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import attention_cache, latent_cache, layer, lightning_cache
from kvprof.layout import Cache, CacheLayout, Layer

_FULL_WORDS = {"full_attention": True, "linear_attention": False}


class LightningAttention:
    """MiniMax-01 and M1: most layers keep a state, every eighth keys and values."""

    name = "lightning"
    summary = "lightning attention: a fixed matrix per head, attention in a few layers"
    reference = "minimax-01"
    model_types = frozenset({"bailing_moe_linear", "minimax", "minimax_m1", "minimax_text_01"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layers keep ``kv_state``, or ``k`` and ``v`` where they attend to all."""
        if config.model_type == "minimax":
            config = config.with_defaults({"num_key_value_heads": 8})
        full = _attending(config)
        keys = _keys(config)
        state = lightning_cache(config.heads, config.head_dim)
        layers: tuple[Layer, ...] = tuple(
            layer(index, keys if attends else state) for index, attends in enumerate(full)
        )
        return bounded(config, CacheLayout(layers, config.heads if any(full) else None))


def _keys(config: ModelConfig) -> Cache:
    """Keys and values, or the latent of Ling 2.5 (vLLM bailing_moe_linear.py)."""
    if not config.has("kv_lora_rank"):
        return attention_cache(config.kv_heads, config.head_dim)
    return latent_cache(config.integer("kv_lora_rank"), config.integer("qk_rope_head_dim"))


def _grouped(config: ModelConfig) -> list[bool]:
    """Ring and Ling 2.5: the last layer of every ``layer_group_size`` attends."""
    group = config.integer("layer_group_size")
    if config.layers % group:  # readings of what is left over differ
        config.refuse(f"layer_group_size {group} does not divide {config.layers} layers")
    return [(index + 1) % group == 0 for index in range(config.layers)]


def _attending(config: ModelConfig) -> list[bool]:
    """Which layers attend: ``layer_types``, or ``attn_type_list`` with 1 for those that do.

    Without either transformers' config class has every other layer attend, the first one too.
    """
    if config.model_type == "bailing_moe_linear":
        return _grouped(config)
    layers = config.layers
    if (words := config.items("layer_types")) is not None:
        if not all(isinstance(word, str) and word in _FULL_WORDS for word in words):
            config.refuse(f"layer_types must name {' or '.join(_FULL_WORDS)} for each layer")
        full = [_FULL_WORDS[word] for word in words]
    elif (flags := config.items("attn_type_list")) is not None:
        if any(flag not in (0, 1) for flag in flags):
            config.refuse("attn_type_list must hold 0 or 1 for each layer")
        full = [flag == 1 for flag in flags]
    elif config.model_type == "minimax":
        full = [index % 2 == 0 for index in range(layers)]
    else:
        config.refuse("has neither layer_types nor attn_type_list")
    if len(full) != layers:
        config.refuse(f"it says what {len(full)} layers are, but there are {layers}")
    return full


@hookimpl
def kvprof_architectures() -> list[LightningAttention]:
    """Offer the architecture ``lightning``."""
    return [LightningAttention()]
