"""What an engine's convention is made of: other caches in place of those of a bound layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from kvprof.binding import bind_cache
from kvprof.config import ModelConfig
from kvprof.dtypes import Dtypes, canonical_dtype
from kvprof.errors import UsageError
from kvprof.layout import Bound, Cache, CacheLayout, Last, Layer, Tail

_MODELOPT_FORMATS = {"fp8": "fp8_e4m3", "nvfp4": "nvfp4"}


def with_caches(layout: CacheLayout, kept: Callable[[Cache], tuple[Cache, ...]]) -> CacheLayout:
    """The layout with what ``kept`` makes of each cache; what is done to caches it drops goes."""
    known: dict[Cache, tuple[Cache, ...]] = {}

    def owning(layer: Layer) -> Layer:
        for cache in layer.owns:
            if cache not in known:
                known[cache] = kept(cache)
        return replace(layer, owns=tuple(k for cache in layer.owns for k in known[cache]))

    layers = tuple(map(owning, layout.layers))
    there = {(layer.index, cache.key) for layer in layers for cache in layer.owns}
    return replace(
        layout,
        layers=tuple(
            replace(layer, does=tuple(a for a in layer.does if (a.layer, a.key) in there))
            for layer in layers
        ),
    )


def is_latent(cache: Cache) -> bool:
    """Whether a cache is multi-head latent attention's."""
    return any(field.codec == "mla_latent" for field in cache.fields)


def is_indexer(cache: Cache) -> bool:
    """Whether a cache is what sparse attention chooses rows by."""
    return any(field.codec == "mla_index" for field in cache.fields)


def is_compressor(cache: Cache) -> bool:
    """Whether a cache holds tokens that are not yet folded into an entry."""
    return isinstance(cache.keep, Tail) or cache.key.endswith("_tail")


def overlaps(cache: Cache) -> bool:
    """Whether a compressor folds each token into two groups."""
    return any(dim == ("series", 2) for field in cache.fields for dim in field.dims)


def compressor_window(engine: str, config: ModelConfig, cache: Cache) -> Cache:
    """A compressor's tail of n tokens as serving engines keep it: keys and gates in float32.

    Of one group, or of two that overlap (vLLM models/deepseek_v4/compressor.py; SGLang mem_cache/
    deepseek_v4_memory_pool.py, get_compress_state_ring_size).

    Raises
    ------
    UsageError
        When the family is not DeepSeek V4: what others keep is not known.
    """
    if config.model_type != "deepseek_v4" or not isinstance(cache.keep, Tail):
        raise UsageError(
            f"kvprof does not know how {engine} keeps {cache.key!r} of {config.name!r}",
            hint="Try --engine paged.",
        )
    fields = tuple(replace(field, dtype="float32", role="float32") for field in cache.fields)
    return replace(cache, fields=fields, keep=Last(cache.keep.n * (2 if overlaps(cache) else 1)))


def keys_and_values(cache: Cache) -> Cache:
    """Keys and values apart, also where a model makes both of one thing (Gemma 4)."""
    if [field.name for field in cache.fields] != ["kv"]:
        return cache
    (kv,) = cache.fields
    return replace(cache, fields=(replace(kv, name="k"), replace(kv, name="v")))


def model_dtype(config: ModelConfig) -> str:
    """The config's dtype, bfloat16 when it has none."""
    return canonical_dtype(config.dtype or "bfloat16", option=f"the dtype of {config.source}")


def named_dtype(config: ModelConfig, name: str, default: str) -> str:
    """The dtype that a field of the config names."""
    value = config.text(name)
    return canonical_dtype(value, option=f"{name} of {config.source}") if value else default


def accept_dtype(engine: str, bound: Bound, accepted: Sequence[str]) -> None:
    """Refuse a cache dtype that was asked for and that the engine does not have.

    Raises
    ------
    UsageError
        With what the engine has for this model.
    """
    if bound.cache_dtype_asked and bound.dtypes.cache not in accepted:
        raise UsageError(
            f"--cache-dtype {bound.dtypes.cache}: {engine} has no such cache for "
            f"{bound.config.name!r}",
            hint=f"It has auto, {', '.join(accepted)}.",
        )


def bind_as(engine: str, cache: Cache, dtypes: Dtypes) -> Cache:
    """A cache in the dtypes that an engine chose.

    Raises
    ------
    UsageError
        When it cannot be held in them; it says that the engine chose so.
    """
    try:
        return bind_cache(cache, dtypes)
    except UsageError as error:
        raise UsageError(
            f"{engine} keeps {cache.key!r} of this model in {dtypes.cache}: {error.args[0]}",
            hint=error.hint,
        ) from None


def accept_state(engine: str, config: ModelConfig, cache: Cache, accepted: frozenset[str]) -> None:
    """Refuse states of layers that the engine does not have. Raises UsageError."""
    if cache.key not in accepted:
        raise UsageError(
            f"{engine} has no {cache.key!r} layers, which {config.name!r} keeps",
            hint="Try --engine paged; `kvprof list engines` shows them all.",
        )


def modelopt_dtype(config: ModelConfig) -> str | None:
    """The cache dtype that a checkpoint of ModelOpt asks for; None when it asks for none.

    A static 8-bit float ``kv_cache_scheme``, or the name of a format in ``kv_cache_quant_algo``
    (vLLM utils/torch_utils.py, get_kv_cache_quant_algo_string).
    """
    quantised = config.value("quantization_config")
    if not isinstance(quantised, Mapping):
        return None
    method = quantised.get("quant_method")
    if not isinstance(method, str) or not method.startswith("modelopt"):
        return None
    inner = quantised.get("quantization")
    sections = [inner if isinstance(inner, Mapping) else quantised, quantised]
    asked = (
        section[name]
        for name in ("kv_cache_scheme", "kv_cache_quant_algo")
        for section in sections
        if section.get(name)
    )
    return _format(next(asked, None))


def _format(scheme: Any) -> str | None:
    if isinstance(scheme, Mapping):
        bits, is_float = scheme.get("num_bits"), scheme.get("type") == "float"
        if is_float and bits == 8 and scheme.get("dynamic") is False:
            return "fp8_e4m3"
        return "nvfp4" if is_float and bits == 4 else None
    return _MODELOPT_FORMATS.get(scheme.lower()) if isinstance(scheme, str) else None
