"""Linear recurrences with a matrix state per head and no cache: xLSTM (2405.04517)."""

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import layer, mlstm_cache
from kvprof.layout import CacheLayout


class Xlstm:
    """Stacks of mLSTM layers, laid out without the general reader."""

    name = "xlstm"
    summary = "xLSTM: a matrix memory with normaliser and stabiliser per head, no cache"
    reference = "xlstm-7b"
    model_types = frozenset({"xlstm"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``c_state``, ``n_state`` and ``m_state``."""
        heads, hidden = config.heads, config.hidden
        key_dim = config.scaled("qk_dim_factor", hidden)
        value_dim = config.scaled("v_dim_factor", hidden)
        if key_dim % heads or value_dim % heads:
            config.refuse(f"{heads} heads do not divide keys of {key_dim} or values of {value_dim}")
        cache = mlstm_cache(heads, key_dim // heads, value_dim // heads)
        layers = (layer(index, cache) for index in range(config.layers))
        return bounded(config, CacheLayout(tuple(layers)))


class LinearRecurrence(Xlstm):
    """The family by the name of what its members share; xLSTM is its reference."""

    name = "linear"
    summary = "linear recurrences: a fixed matrix state per head, no cache"


@hookimpl
def kvprof_architectures() -> list[Xlstm]:
    """Offer the architectures ``linear`` and ``xlstm``."""
    return [LinearRecurrence(), Xlstm()]
