"""What vLLM keeps: the element types of each cache, and what DeepSeek V4's compressors hold.

Sources are files of vLLM 0.33.0. Its attention backends are those of an H100.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from kvprof.binding import bind_cache
from kvprof.config import ModelConfig
from kvprof.dtypes import PER_TOKEN_HEAD, Dtypes, canonical_dtype
from kvprof.errors import UsageError
from kvprof.layout import MODEL, Bound, Cache, CacheLayout, Field, Last, Layer, Once, Tail

_ATTENTION_DTYPES = (
    "auto float16 bfloat16 fp8_e4m3 fp8_e5m2 nvfp4 "  # flash_attn.py, flashinfer.py
    + " ".join(PER_TOKEN_HEAD)  # triton_attn.py
).split()
_LATENT_DTYPES = ("auto", "float16", "bfloat16", "fp8_e4m3")  # mla/flashmla.py
_SPARSE_LATENT_DTYPES = ("auto", "bfloat16", "fp8_e4m3", "fp8_ds_mla", "nvfp4_ds_mla")
_RECORDS = {"deepseek_v4": "fp8_ds_mla_v4", "deepseek_v41": "fp8_ds_mla_v41"}
_STATES = frozenset(
    {"mamba1", "mamba2", "gated_delta_net", "kda", "short_convolution", "linear_attention"}
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
    cache_dtype = _cache_dtype(bound, latent, indexed)
    model_dtype = _model_dtype(bound.config)
    chosen = Dtypes(
        cache=model_dtype if cache_dtype == "auto" else cache_dtype,
        state=bound.dtypes.state if bound.state_dtype_asked else "auto",
        model=model_dtype,
    )

    def of_layer(layer: Layer) -> Layer:
        owns = {cache.key: _kept(cache, chosen, bound.config, latent) for cache in layer.owns}
        kept = {key: cache for key, cache in owns.items() if cache is not None}
        does = tuple(a for a in layer.does if a.layer != layer.index or a.key in kept)
        return replace(layer, owns=tuple(kept.values()), does=does)

    return replace(
        layout,
        layers=tuple(map(of_layer, layout.layers)),
        draft=tuple(map(of_layer, layout.draft)),
    )


def is_latent(cache: Cache) -> bool:
    """Whether a cache is multi-head latent attention's."""
    return any(field.codec == "mla_latent" for field in cache.fields)


def is_indexer(cache: Cache) -> bool:
    """Whether a cache is what sparse attention chooses rows by."""
    return any(field.codec == "mla_index" for field in cache.fields)


def is_compressor(cache: Cache) -> bool:
    """Whether a cache is the window of raw keys that a compressor works on."""
    return cache.key.endswith("_tail")


def _model_dtype(config: ModelConfig) -> str:
    """What the model runs in: a float32 checkpoint in bfloat16 (config/model.py)."""
    dtype = canonical_dtype(config.dtype or "bfloat16", option=f"the dtype of {config.source}")
    return "bfloat16" if dtype == "float32" else dtype


def _cache_dtype(bound: Bound, latent: bool, indexed: bool) -> str:
    """``auto``, what was asked for, or what the checkpoint says (utils/torch_utils.py)."""
    record = _RECORDS.get(bound.config.model_type or "")
    if record is not None:
        _accept(bound, ("auto", "fp8_e4m3", record))
        return record
    if not latent:
        _accept(bound, _ATTENTION_DTYPES)
    else:
        _accept(bound, _SPARSE_LATENT_DTYPES if indexed else _LATENT_DTYPES)
    dtype = bound.dtypes.cache if bound.cache_dtype_asked else _checkpoint_dtype(bound.config)
    if latent and indexed and dtype == "fp8_e4m3":
        return "fp8_ds_mla"  # mla/flashmla_sparse.py: fp8 is an alias of it
    return dtype


def _accept(bound: Bound, accepted: tuple[str, ...] | list[str]) -> None:
    asked = bound.dtypes.cache
    if bound.cache_dtype_asked and asked not in accepted:
        raise UsageError(
            f"--cache-dtype {asked}: vllm has no such cache for {bound.config.name!r}",
            hint=f"It has {', '.join(accepted)}.",
        )


def _checkpoint_dtype(config: ModelConfig) -> str:
    """The cache dtype that a quantised checkpoint asks for; ``auto`` when it asks for none."""
    quantised = config.value("quantization_config")
    if not isinstance(quantised, Mapping):
        return "auto"
    method = quantised.get("quant_method")
    if method == "compressed-tensors":
        # model_executor/layers/attention/attention.py: any scheme there is means fp8.
        return "fp8_e4m3" if quantised.get("kv_cache_scheme") is not None else "auto"
    if not isinstance(method, str) or not method.startswith("modelopt"):
        return "auto"
    inner = quantised.get("quantization")
    sections = [inner if isinstance(inner, Mapping) else quantised, quantised]
    for name in ("kv_cache_scheme", "kv_cache_quant_algo"):
        for section in sections:
            if section.get(name):
                return _scheme_dtype(section[name])
    return "auto"


def _scheme_dtype(scheme: Any) -> str:
    if isinstance(scheme, Mapping):
        bits, is_float = scheme.get("num_bits"), scheme.get("type") == "float"
        if is_float and bits == 8 and scheme.get("dynamic") is False:
            return "fp8_e4m3"
        return "nvfp4" if is_float and bits == 4 else "auto"
    if not isinstance(scheme, str):
        return "auto"
    return {"fp8": "fp8_e4m3", "nvfp4": "nvfp4"}.get(scheme.lower(), "auto")


def _kept(cache: Cache, chosen: Dtypes, config: ModelConfig, latent: bool) -> Cache | None:
    """A cache as vLLM keeps it; None when it does not."""
    if isinstance(cache.keep, Once):
        return bind_cache(cache, replace(chosen, state=_state_dtype(cache, chosen, config)))
    if cache.key.endswith("_overlap"):
        return None  # in the window of the compressor
    if isinstance(cache.keep, Tail):
        return _compressor_window(cache, cache.keep.n)
    plain = replace(chosen, state=chosen.model)
    if is_indexer(cache) and latent:
        plain = replace(plain, cache="fp8_ds_mla")  # 132 B whatever the cache's dtype
    elif is_indexer(cache):
        plain = replace(plain, cache=chosen.model)
    return bind_cache(_keys_and_values(cache), plain)


def _keys_and_values(cache: Cache) -> Cache:
    """Keys and values apart, also where a model makes both of one thing (Gemma 4)."""
    if [field.name for field in cache.fields] != ["kv"]:
        return cache
    (kv,) = cache.fields
    return replace(cache, fields=(replace(kv, name="k"), replace(kv, name="v")))


def _compressor_window(cache: Cache, group: int) -> Cache:
    """The raw keys and gates of one group, or of two that overlap, in float32.

    models/deepseek_v4/compressor.py: a window of ``coff * compress_ratio`` tokens.
    """
    overlapping = any(dim == ("series", 2) for field in cache.fields for dim in field.dims)
    fields = tuple(replace(field, dtype="float32", role="float32") for field in cache.fields)
    return replace(cache, fields=fields, keep=Last(group * (2 if overlapping else 1)))


def _state_dtype(cache: Cache, chosen: Dtypes, config: ModelConfig) -> str:
    """Of the recurrent state (models/config.py, layers/mamba/mamba_utils.py)."""
    if cache.key not in _STATES:
        raise UsageError(
            f"vllm has no {cache.key!r} layers, which {config.name!r} keeps",
            hint="Try --engine paged; `kvprof list engines` shows them all.",
        )
    if chosen.state != "auto":
        return chosen.state
    model_type = config.model_type or ""
    if model_type.startswith("nemotron_h"):
        return _named(config, "mamba_ssm_cache_dtype", "float32")
    if model_type.startswith("qwen3_5"):
        return _named(config, "mamba_ssm_dtype", chosen.model)
    return "float32" if cache.key == "kda" else chosen.model


def _named(config: ModelConfig, name: str, default: str) -> str:
    value = config.text(name)
    return canonical_dtype(value, option=f"{name} of {config.source}") if value else default


def with_spare_columns(cache: Cache, columns: int) -> Cache:
    """A state whose convolution keeps a column for each drafted token (mamba_utils.py)."""
    if columns == 0 or cache.key == "mamba1":
        return cache
    return replace(cache, fields=tuple(_widened(columns)(field) for field in cache.fields))


def _widened(columns: int) -> Callable[[Field], Field]:
    def widen(field: Field) -> Field:
        if field.role != MODEL or not field.dims or field.dims[0][0] != "conv_width":
            return field
        name, width = field.dims[0]
        return replace(field, dims=((name, width + columns), *field.dims[1:]))

    return widen
