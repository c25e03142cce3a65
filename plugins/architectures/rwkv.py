"""RWKV: linear attention with a fixed state, of vectors (4) or of a matrix per head (5 to 7)."""

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import layer, rwkv_cache, rwkv_matrix_cache
from kvprof.layout import Cache, CacheLayout

HEAD_SIZE = 64
"""What the config classes of RWKV-5 to 7 fill in when a published config leaves it out."""


class Rwkv:
    """Stacks of RWKV layers (2305.13048, 2404.05892, 2503.14456)."""

    name = "rwkv"
    summary = "RWKV: two shifted inputs and a fixed state per layer, no cache"
    reference = "rwkv-4-7b"
    model_types = frozenset({"rwkv", "rwkv5", "rwkv6", "rwkv7"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layers keep ``shift_state``, inputs of both mixers, and ``wkv_state``."""
        cache = _vectors(config) if config.model_type == "rwkv" else _matrix(config)
        layers = (layer(index, cache) for index in range(config.layers))
        return bounded(config, CacheLayout(tuple(layers)))


def _vectors(config: ModelConfig) -> Cache:
    """RWKV-4 (transformers modeling_rwkv.py)."""
    width = config.integer("attention_hidden_size", default=config.hidden)
    return rwkv_cache(config.hidden, width)


def _matrix(config: ModelConfig) -> Cache:
    width = config.integer("attention_hidden_size", default=config.hidden)
    size = config.integer("head_size", "head_dim", default=HEAD_SIZE)
    if width % size:
        config.refuse(f"heads of {size} do not divide an attention of {width}")
    return rwkv_matrix_cache(config.hidden, width // size, size)


@hookimpl
def kvprof_architectures() -> list[Rwkv]:
    """Offer the architecture ``rwkv``."""
    return [Rwkv()]
