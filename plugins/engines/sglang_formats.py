"""What SGLang keeps: the element types of each cache. Sources are files of SGLang 0.5.23."""

from __future__ import annotations

from msgspec.structs import replace

from kvprof.config import ModelConfig
from kvprof.conventions import (
    accept_dtype,
    accept_state,
    bind_as,
    compressor_window,
    is_indexer,
    is_latent,
    keys_and_values,
    model_dtype,
    modelopt_dtype,
    named_dtype,
    with_caches,
)
from kvprof.dtypes import Dtypes
from kvprof.layout import Bound, Cache, CacheLayout, Once, Tail

_DTYPES = ("bfloat16", "fp8_e4m3", "fp8_e5m2", "nvfp4")
_SPARSE_DTYPES = ("bfloat16", "fp8_e4m3", "fp8_ds_mla")
_RECORD = "fp8_ds_mla_v4"
_STATES = frozenset(
    {"mamba1", "mamba2", "gated_delta_net", "kda", "short_convolution", "lightning"}
)


def sglang_layout(layout: CacheLayout) -> CacheLayout:
    """The layout with the element types of SGLang (mem_cache/kv_cache_dtype.py).

    Raises
    ------
    UsageError
        When SGLang has no such cache dtype for this model, or no such layers.
    """
    if layout.bound is None:
        return layout
    bound = layout.bound
    sparse = any(is_indexer(cache) for _, cache in layout.caches()) and any(
        is_latent(cache) for _, cache in layout.caches()
    )
    runs_in = _runs_in(bound.config)
    chosen = Dtypes(
        cache=_cache_dtype(bound, sparse) or runs_in,
        state=bound.dtypes.state if bound.state_dtype_asked else "auto",
        model=runs_in,
    )
    return with_caches(layout, lambda cache: _kept(cache, chosen, bound.config, sparse))


def _runs_in(config: ModelConfig) -> str:
    """What the model runs in: a float32 checkpoint in 16 bits (configs/model_config.py)."""
    dtype = model_dtype(config)
    if dtype != "float32":
        return dtype
    return "bfloat16" if (config.model_type or "").startswith("gemma") else "float16"


def _cache_dtype(bound: Bound, sparse: bool) -> str | None:
    if bound.config.model_type == "deepseek_v4":
        accept_dtype("sglang", bound, ("fp8_e4m3", _RECORD))
        return _RECORD  # deepseek_v4_memory_pool.py, DeepSeekV4SingleKVPool
    accept_dtype("sglang", bound, _SPARSE_DTYPES if sparse else _DTYPES)
    dtype = bound.dtypes.cache if bound.cache_dtype_asked else modelopt_dtype(bound.config)
    if not bound.cache_dtype_asked and dtype != "fp8_e4m3":
        return None
    # kv_cache_configurator.py, calculate_mla_kv_cache_dim: scales and a RoPE key in 16 bits.
    return "fp8_ds_mla" if sparse and dtype == "fp8_e4m3" else dtype


def _kept(cache: Cache, chosen: Dtypes, config: ModelConfig, sparse: bool) -> tuple[Cache, ...]:
    """A cache as SGLang keeps it; nothing when it does not."""
    if cache.key.endswith("_overlap"):
        return ()  # in the ring of the compressor
    if isinstance(cache.keep, Tail):
        return (compressor_window("sglang", config, cache),)
    if isinstance(cache.keep, Once):
        accept_state("sglang", config, cache, _STATES)
        # configs/mamba_utils.py: convolutions in bfloat16, states in float32 unless the config
        # says otherwise.
        state = chosen.state
        if state == "auto":
            state = named_dtype(config, "mamba_ssm_dtype", "float32")
        return (bind_as("sglang", cache, replace(chosen, model="bfloat16", state=state)),)
    plain = replace(chosen, state=chosen.model)
    if is_indexer(cache):
        plain = replace(plain, cache="fp8_ds_mla" if sparse else chosen.model)
    return (bind_as("sglang", keys_and_values(cache), plain),)
