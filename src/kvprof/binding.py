"""A layout with dtype roles and a choice of dtypes in, a layout of stored tensors out."""

from __future__ import annotations

from msgspec.structs import replace

from kvprof.dtypes import (
    ELEMENT_BITS,
    MLA_RECORDS,
    PACKED_DTYPES,
    PER_TOKEN_HEAD,
    Dtypes,
    canonical_dtype,
)
from kvprof.errors import UsageError
from kvprof.layout import APART, CACHE, MODEL, SCALE, STATE, Cache, CacheLayout, Field, Layer

__all__ = ["Dtypes", "bind", "bind_cache", "choose_dtypes"]

_NVFP4_BLOCK = 16
_MLA_SCALE_BLOCK = 128
_V4_SCALE_BLOCK = 64
_V4_SCALE_BYTES = 8
_V41_SCALE_BLOCK = 32
_CACHES_ONLY = (*MLA_RECORDS, *PER_TOKEN_HEAD)


def choose_dtypes(
    cache: str,
    state: str,
    *,
    config_dtype: str | None,
    config_state_dtype: str | None,
    source: str = "the config",
) -> Dtypes:
    """Resolve ``auto``, and what activations are kept in.

    For caches ``auto`` is the config's dtype, bfloat16 when it names none; for states the config's
    own field, else the cache dtype.
    Activations (`MODEL`) follow a cache dtype of 16 bits or more, since that is the dtype the model
    then runs in; a quantised cache leaves them in the config's dtype.

    Raises
    ------
    UsageError
        When a dtype is unknown, or a state is to be kept in a format that cannot hold one.
    """
    chosen = canonical_dtype(cache, option="--cache-dtype") if cache != "auto" else None
    if chosen is None or ELEMENT_BITS.get(chosen, 0) < 16:
        model = canonical_dtype(config_dtype or "bfloat16", option=f"the dtype of {source}")
        chosen = chosen or model
    else:
        model = chosen
    if state != "auto":
        chosen_state = canonical_dtype(state, option="--state-dtype")
    elif config_state_dtype is not None:
        chosen_state = canonical_dtype(config_state_dtype, option=f"the state dtype of {source}")
    else:
        chosen_state = model if chosen in _CACHES_ONLY else chosen
    if chosen_state in _CACHES_ONLY:
        raise UsageError(
            f"--state-dtype is {chosen_state}, a format of cache rows, which cannot hold a state",
            hint="Try float32, bfloat16 or auto.",
        )
    return Dtypes(cache=chosen, state=chosen_state, model=model)


def bind(layout: CacheLayout, dtypes: Dtypes) -> CacheLayout:
    """Give every field its element type; packed formats add the tensors of their scales.

    A bound layout may be bound again, as an engine does that keeps another dtype.

    Raises
    ------
    UsageError
        When a packed format cannot hold a field (``fp8_ds_mla`` of a cache that is not MLA, a last
        dimension that its scale blocks do not divide).
    """
    bound: dict[Cache, Cache] = {}

    def bind_layer(layer: Layer) -> Layer:
        for cache in layer.owns:
            if cache not in bound:
                bound[cache] = bind_cache(cache, dtypes)
        return replace(layer, owns=tuple(bound[cache] for cache in layer.owns))

    return replace(
        layout,
        layers=tuple(map(bind_layer, layout.layers)),
        draft=tuple(map(bind_layer, layout.draft)),
        bound=layout.bound and replace(layout.bound, dtypes=dtypes),
    )


def bind_cache(cache: Cache, dtypes: Dtypes) -> Cache:
    """One cache with element types, as `bind` gives them. Raises as it does."""
    fields = tuple(part for field in cache.fields for part in _bind(field, dtypes))
    return replace(cache, fields=fields)


def _bind(field: Field, dtypes: Dtypes) -> tuple[Field, ...]:
    if field.role == SCALE:
        return ()
    field = replace(field, role=field.role or field.dtype)
    roles = {CACHE: dtypes.cache, STATE: dtypes.state, MODEL: dtypes.model}
    dtype = roles.get(field.role or "", field.dtype)
    if dtype == "nvfp4":
        # FlashInfer and vLLM: e2m1 values, one e4m3 scale per 16 along the innermost dimension.
        return _scaled(field, "fp4_e2m1", _NVFP4_BLOCK, "fp8_e4m3", dtype)
    if dtype in MLA_RECORDS:
        return _bind_mla(field, dtype)
    if dtype in PER_TOKEN_HEAD:
        return _bind_per_token_head(field, dtype)
    return (replace(field, dtype=dtype),)


def _bind_mla(field: Field, record: str) -> tuple[Field, ...]:
    """A field of a packed MLA record.

    vLLM flashmla_sparse.py: 512 e4m3, 4 float32 scales, 64 bfloat16 RoPE = 656 B; DeepSeek V4's 448
    e4m3, 64 bfloat16 RoPE and, behind all rows of a page, 7 ue8m0 scales and a byte to make them 8
    = 584 B. DeepSeek V4.1's 512 e4m3, RoPE included, and 16 ue8m0 = 528 B; 512 e2m1, 64 e4m3 RoPE
    and 32 e4m3 scales = 352 B. An indexer of 128 e4m3 and, behind all rows, its scale = 132 B
    (cache_kernels.cu).
    """
    if field.codec == "mla_index":
        values, scale = _scaled(field, "fp8_e4m3", _MLA_SCALE_BLOCK, "float32", record)
        return values, replace(scale, codec=APART)
    if field.codec not in ("mla_latent", "mla_rope"):
        raise UsageError(
            f"--cache-dtype {record} packs MLA caches only; this model keeps {field.name!r}",
            hint="Try fp8_e4m3, nvfp4 or bfloat16.",
        )
    if record == "fp8_ds_mla_v41":
        return _scaled(field, "fp8_e4m3", _V41_SCALE_BLOCK, "ue8m0", record)
    if field.codec == "mla_rope":
        rope = "fp8_e4m3" if record == "nvfp4_ds_mla" else "bfloat16"
        return (replace(field, dtype=rope),)
    if record == "nvfp4_ds_mla":
        return _scaled(field, "fp4_e2m1", _NVFP4_BLOCK, "fp8_e4m3", record)
    if record == "fp8_ds_mla":
        return _scaled(field, "fp8_e4m3", _MLA_SCALE_BLOCK, "float32", record)
    values, scale = _scaled(field, "fp8_e4m3", _V4_SCALE_BLOCK, "ue8m0", record)
    name, scales = scale.dims[-1]
    padded = -(-scales // _V4_SCALE_BYTES) * _V4_SCALE_BYTES
    return values, replace(scale, dims=(*scale.dims[:-1], (name, padded)), codec=APART)


def _bind_per_token_head(field: Field, packed: str) -> tuple[Field, Field]:
    """Values and one float32 scale a head: ``(hd_k + hd_v) + 2 * 4`` B a token and head.

    vLLM triton_attn.py, get_packed_kv_content_bytes: the scales lie beside the values of their row.
    """
    name, _ = field.dims[0] if field.dims else ("", 0)
    if name != "kv_heads" or len(field.dims) < 2:
        raise UsageError(
            f"--cache-dtype {packed} scales heads of keys and values; this model keeps "
            f"{field.name!r}, which has none",
            hint="Try fp8_e4m3 or bfloat16.",
        )
    values = replace(field, dtype=PER_TOKEN_HEAD[packed])
    return values, Field(f"{field.name}_scale", field.dims[:1], "float32", role=SCALE)


def _scaled(
    field: Field, dtype: str, block: int, scale_dtype: str, packed: str
) -> tuple[Field, Field]:
    name, size = field.dims[-1]
    if size % block:
        raise UsageError(
            f"{packed} needs {name} of {field.name!r} to be a multiple of {block}; it is {size}",
            hint=f"{packed}: {PACKED_DTYPES[packed]}.",
        )
    scale_dims = (*field.dims[:-1], (f"{name}_blocks", size // block))
    values = replace(field, dtype=dtype)
    return values, Field(f"{field.name}_scale", scale_dims, scale_dtype, role=SCALE)
