"""Cross attention: layers that also read what an encoder made (1706.03762)."""

from typing import Any

from msgspec.structs import replace

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import attention_cache, layer
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    "mllama_text_model": {
        "num_key_value_heads": 8,
        "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
    },
}
"""What the config classes fill in when a published config leaves it out."""

_DECODERS_WITHIN = frozenset({"mllama_text_model"})
"""Language models whose encoder stands beside them in a larger config."""


class CrossAttention:
    """The decoders of encoder-decoders, and of models that read images by cross attention."""

    name = "cross"
    summary = "cross attention: keys and values of an encoder's positions beside the decoder's own"
    reference = "whisper-tiny"
    model_types = frozenset(
        {
            "bart",
            "blenderbot",
            "blt_local_decoder",
            "led",
            "longt5",
            "m2m_100",
            "marian",
            "mbart",
            "mllama_text_model",
            "mt5",
            "pegasus",
            "pegasus_x",
            "plbart",
            "t5",
            "umt5",
            "whisper",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layers keep ``k`` and ``v`` of their own, and once those of every encoder position.

        Config classes of encoder-decoders say that they are some unless told otherwise.
        """
        if config.model_type == "blt_local_decoder":
            return _byte_latent(config)
        defaults = dict(DEFAULTS.get(config.model_type or "", {}))
        if config.model_type not in _DECODERS_WITHIN:
            defaults["is_encoder_decoder"] = True
        return read_layout(config.with_defaults(defaults))


def _byte_latent(config: ModelConfig) -> CacheLayout:
    """Byte Latent Transformer (2412.09871): local layers on bytes, global layers on patches.

    The decoder reads ``cross_attn_k`` vectors of each patch; a patch is ``patch_size`` bytes, on
    average where entropy ends them (configuration_blt.py).
    """
    encoder, latent = config.section("encoder_config"), config.section("global_config")
    whole = config.overlaid(config.outer)
    patch = whole.integer("patch_size")
    local = attention_cache(encoder.kv_heads, encoder.head_dim)
    decoding = attention_cache(config.kv_heads, config.head_dim)
    of_patches = attention_cache(latent.kv_heads, latent.head_dim)
    heads = config.kv_heads * whole.integer("cross_attn_k", default=1)
    read = attention_cache(heads, config.head_dim)
    rows = (
        *[(local,)] * encoder.layers,
        *[(replace(of_patches, key="patch_attention", entry_tokens=patch),)] * latent.layers,
        *[(decoding, replace(read, key="patch_cross_attention", entry_tokens=patch))]
        * config.layers,
    )
    layers = tuple(layer(index, *caches) for index, caches in enumerate(rows))
    return bounded(config, CacheLayout(layers, config.heads))


@hookimpl
def kvprof_architectures() -> list[CrossAttention]:
    """Offer the architecture ``cross``."""
    return [CrossAttention()]
