"""RWKV: linear attention with a fixed state, of vectors (4) or of a matrix per head (5 to 7)."""

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import layer, rwkv_cache
from kvprof.layout import STATE, CacheLayout, Field

HEAD_SIZE = 64
"""What the config classes of RWKV-5 to 7 fill in when a published config leaves it out."""


class Rwkv:
    """Stacks of RWKV layers (2305.13048, 2404.05892, 2503.14456)."""

    name = "rwkv"
    summary = "RWKV: two shifted inputs and a fixed state per layer, no cache"
    reference = "rwkv-4-7b"
    model_types = frozenset({"rwkv", "rwkv5", "rwkv6", "rwkv7"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layers keep ``time_shift``, ``channel_shift`` and the state of their time mixing."""
        hidden = config.hidden
        state = _vectors(config) if config.model_type == "rwkv" else _matrix(config)
        cache = rwkv_cache(hidden, *state)
        layers = (layer(index, cache) for index in range(config.layers))
        return bounded(config, CacheLayout(tuple(layers)))


def _vectors(config: ModelConfig) -> tuple[Field, ...]:
    """RWKV-4 (transformers modeling_rwkv.py): ``num``, ``den`` and ``max`` ``[channels]``.

    In float32 whatever the model runs in: they hold exponentials.
    """
    width = (("channels", config.integer("attention_hidden_size", default=config.hidden)),)
    return tuple(Field(f"{part}_state", width, "float32") for part in ("num", "den", "max"))


def _matrix(config: ModelConfig) -> tuple[Field, ...]:
    """RWKV-5 to 7: ``wkv_state [heads, head_size, head_size]``."""
    width = config.integer("attention_hidden_size", default=config.hidden)
    size = config.integer("head_size", "head_dim", default=HEAD_SIZE)
    if width % size:
        config.refuse(f"heads of {size} do not divide an attention of {width}")
    dims = (("heads", width // size), ("key_dim", size), ("value_dim", size))
    return (Field("wkv_state", dims, STATE),)


@hookimpl
def kvprof_architectures() -> list[Rwkv]:
    """Offer the architecture ``rwkv``."""
    return [Rwkv()]
