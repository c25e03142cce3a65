"""Linear recurrences and no cache: xLSTM (2405.04517), RWKV-4 (2305.13048)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import layer, mlstm_cache, rwkv_cache
from kvprof.layout import Cache, CacheLayout


class LinearRecurrence:
    """Stacks of mLSTM or RWKV layers, laid out without the general reader."""

    name = "linear"
    summary = "linear recurrences: a fixed matrix state per head, no cache"
    reference = "xlstm-7b"
    model_types = frozenset({"rwkv", "xlstm"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``c_state``, ``n_state`` and ``m_state``, or RWKV's two states."""
        cache = _rwkv(config) if config.model_type == "rwkv" else _mlstm(config)
        return CacheLayout(tuple(layer(index, cache) for index in range(config.layers)))


def _mlstm(config: ModelConfig) -> Cache:
    heads, hidden = config.heads, config.hidden
    key_dim = config.scaled("qk_dim_factor", hidden)
    value_dim = config.scaled("v_dim_factor", hidden)
    if key_dim % heads or value_dim % heads:
        config.refuse(f"{heads} heads do not divide keys of {key_dim} or values of {value_dim}")
    return mlstm_cache(heads, key_dim // heads, value_dim // heads)


def _rwkv(config: ModelConfig) -> Cache:
    name = "attention_hidden_size"
    return rwkv_cache(config.hidden, config.integer(name) if config.has(name) else config.hidden)


@hookimpl
def kvprof_architectures() -> list[LinearRecurrence]:
    """Offer the architecture ``linear``."""
    return [LinearRecurrence()]
