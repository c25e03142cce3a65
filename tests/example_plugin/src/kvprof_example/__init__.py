"""Cross-layer attention (CLA, 2405.12981): neighbouring layers share one cache of keys and values.

The first layer of every ``cla_share_factor`` owns a cache; the others own nothing and read it.
"""

from kvprof.catalogue import CatalogueModel
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import attention_cache, layer, reading_layer
from kvprof.layout import CacheLayout

REFERENCE = CatalogueModel(
    name="example-cla-64l",
    title="Cross-layer attention, 64 layers in pairs",
    organisation="kvprof-example-plugin",
    date="2024-11",
    attention="GQA + CLA",
    config={
        "model_type": "example_cla",
        "num_hidden_layers": 64,
        "hidden_size": 6400,
        "num_attention_heads": 80,
        "num_key_value_heads": 8,
        "cla_share_factor": 2,
        "torch_dtype": "bfloat16",
    },
    source="dimensions of Hunyuan-Large (2411.02265)",
    confidence="B",
)


class CrossLayerAttention:
    """Decoders whose layers share caches in groups of ``cla_share_factor``."""

    name = "example-cla"
    summary = "cross-layer attention: neighbouring layers share one K and V"
    reference = REFERENCE.name
    model_types = frozenset({"example_cla"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layer i reads the cache of the first layer of its group."""
        shared_by = config.integer("cla_share_factor")
        cache = attention_cache(config.kv_heads, config.head_dim)
        layers = (
            reading_layer(index, index - index % shared_by, cache)
            if index % shared_by
            else layer(index, cache)
            for index in range(config.layers)
        )
        return CacheLayout(tuple(layers), config.heads)


@hookimpl
def kvprof_architectures() -> list[CrossLayerAttention]:
    """Offer the architecture ``example-cla``."""
    return [CrossLayerAttention()]


@hookimpl
def kvprof_models() -> list[CatalogueModel]:
    """Offer its reference model."""
    return [REFERENCE]
