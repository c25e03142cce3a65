"""Double sublayers: two latent attentions in every layer (LongCat-Flash, 2509.01322)."""

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import latent_cache, layer
from kvprof.layout import CacheLayout

SUBLAYERS = 2


class DoubleSublayers:
    """Decoders whose layers hold two attention sublayers, each with a cache of its own."""

    name = "double"
    summary = "double sublayers: two latent attentions in every layer, each with a cache"
    reference = "longcat-flash"
    model_types = frozenset({"longcat_flash"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layout layers are sublayers, as engines number them: two for each of ``num_layers``."""
        cache = latent_cache(config.integer("kv_lora_rank"), config.integer("qk_rope_head_dim"))
        sublayers = range(SUBLAYERS * config.layers)
        layers = tuple(layer(index, cache) for index in sublayers)
        return bounded(config, CacheLayout(layers, config.heads))


@hookimpl
def kvprof_architectures() -> list[DoubleSublayers]:
    """Offer the architecture ``double``."""
    return [DoubleSublayers()]
