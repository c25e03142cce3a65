"""What vLLM keeps: the element types of each cache, and what DeepSeek V4's compressors hold.

Sources are files of vLLM 0.33.0. Its attention backends are those of an H100.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from kvprof.dtypes import PER_TOKEN_HEAD, Dtypes
from kvprof.layout import MODEL, Bound, Cache, CacheLayout, Field, Once, Tail

_ATTENTION_DTYPES = (  # flash_attn.py, flashinfer.py, triton_attn.py
    "float16",
    "bfloat16",
    "fp8_e4m3",
    "fp8_e5m2",
    "nvfp4",
    *PER_TOKEN_HEAD,
)
_LATENT_DTYPES = ("float16", "bfloat16", "fp8_e4m3")  # mla/flashmla.py
_SPARSE_LATENT_DTYPES = ("bfloat16", "fp8_e4m3", "fp8_ds_mla", "nvfp4_ds_mla")
RECORDS = {"deepseek_v4": "fp8_ds_mla_v4", "deepseek_v41": "fp8_ds_mla_v41"}
"""Model types that keep records of their own, whatever is asked for (models/deepseek_v4)."""

_STATES = frozenset(
    {"mamba1", "mamba2", "gated_delta_net", "kda", "short_convolution", "lightning"}
)


def vllm_layout(layout: CacheLayout) -> CacheLayout:
    """The layout with the element types and the compressor windows of vLLM.

    Raises
    ------
    UsageError
        When vLLM has no such cache dtype for this model, or no such layers.
    """
    if layout.bound is None:
        return layout
    bound = layout.bound
    latent = any(is_latent(cache) for _, cache in layout.caches())
    indexed = any(is_indexer(cache) for _, cache in layout.caches())
    runs_in = _runs_in(bound.config)
    chosen = Dtypes(
        cache=_cache_dtype(bound, latent, indexed) or runs_in,
        state=bound.dtypes.state if bound.state_dtype_asked else "auto",
        model=runs_in,
    )
    return with_caches(layout, lambda cache: _kept(cache, chosen, bound.config, latent))


def _runs_in(config: ModelConfig) -> str:
    """What the model runs in: a float32 checkpoint in bfloat16 (config/model.py)."""
    dtype = model_dtype(config)
    return "bfloat16" if dtype == "float32" else dtype


def _cache_dtype(bound: Bound, latent: bool, indexed: bool) -> str | None:
    """What was asked for, else what the checkpoint says; None for neither."""
    if (record := RECORDS.get(bound.config.model_type or "")) is not None:
        accept_dtype("vllm", bound, ("fp8_e4m3", record))
        return record
    of_latents = _SPARSE_LATENT_DTYPES if indexed else _LATENT_DTYPES
    accept_dtype("vllm", bound, of_latents if latent else _ATTENTION_DTYPES)
    dtype = bound.dtypes.cache if bound.cache_dtype_asked else _checkpoint_dtype(bound.config)
    if latent and indexed and dtype == "fp8_e4m3":
        return "fp8_ds_mla"  # mla/flashmla_sparse.py: fp8 is an alias of it
    return dtype


def _checkpoint_dtype(config: ModelConfig) -> str | None:
    quantised = config.value("quantization_config")
    if isinstance(quantised, Mapping) and quantised.get("quant_method") == "compressed-tensors":
        # model_executor/layers/attention/attention.py: any scheme there is means fp8.
        return "fp8_e4m3" if quantised.get("kv_cache_scheme") is not None else None
    return modelopt_dtype(config)


def _kept(cache: Cache, chosen: Dtypes, config: ModelConfig, latent: bool) -> tuple[Cache, ...]:
    """A cache as vLLM keeps it; nothing when it does not."""
    if isinstance(cache.keep, Once):
        accept_state("vllm", config, cache, _STATES)
        return (bind_as("vllm", cache, replace(chosen, state=_state_dtype(cache, chosen, config))),)
    if cache.key.endswith("_overlap"):
        return ()  # in the window of the compressor
    if isinstance(cache.keep, Tail):
        return (compressor_window("vllm", config, cache),)
    plain = replace(chosen, state=chosen.model)
    if is_indexer(cache):
        # 132 B beside latents, whatever their dtype; models/minimax_m3 keeps the model's.
        plain = replace(plain, cache="fp8_ds_mla" if latent else chosen.model)
    return (bind_as("vllm", keys_and_values(cache), plain),)


def _state_dtype(cache: Cache, chosen: Dtypes, config: ModelConfig) -> str:
    """Of the recurrent state (models/config.py, layers/mamba/mamba_utils.py)."""
    if chosen.state != "auto":
        return chosen.state
    model_type = config.model_type or ""
    if model_type.startswith("nemotron_h"):
        return named_dtype(config, "mamba_ssm_cache_dtype", "float32")
    if model_type.startswith("qwen3_5"):
        return named_dtype(config, "mamba_ssm_dtype", chosen.model)
    return "float32" if cache.key == "kda" else chosen.model


def with_spare_columns(cache: Cache, columns: int) -> Cache:
    """A state whose convolution keeps a column for each drafted token (mamba_utils.py)."""
    if columns == 0 or cache.key == "mamba1":
        return cache

    def widened(field: Field) -> Field:
        if field.role != MODEL or not field.dims or field.dims[0][0] != "conv_width":
            return field
        name, width = field.dims[0]
        return replace(field, dims=((name, width + columns), *field.dims[1:]))

    return replace(cache, fields=tuple(map(widened, cache.fields)))
