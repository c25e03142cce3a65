"""The general reader: a `ModelConfig` in, a `CacheLayout` out, for every family kvprof knows.

Each kind's caches are built once and laid out in model order. A plugin calls `read_layout` after
adding what only it knows, or builds its layers itself from `kvprof.layers`.
"""

from __future__ import annotations

from collections.abc import Callable

from kvprof.config import MAX_DIMENSION, ModelConfig
from kvprof.layer_kinds import layer_kinds
from kvprof.layers import (
    attention_cache,
    delta_net_cache,
    gated_linear_recurrence_cache,
    indexer_cache,
    latent_cache,
    layer,
    mamba1_cache,
    mamba2_cache,
    reading_layer,
    short_convolution_cache,
    sparse_layer,
)
from kvprof.layout import Cache, CacheLayout, Chunk, Keep, Last, Layer

ONE_CACHE_KINDS = frozenset({"full", "sliding", "chunked"})
ATTENTION_KINDS = ONE_CACHE_KINDS | {"parallel"}
_DEFAULT_TOPK = 2048


def read_layout(config: ModelConfig) -> CacheLayout:
    """Lay out what a config's layers keep.

    Raises
    ------
    ConfigError
        When a field that decides it is missing, malformed, or contradicts another.
    """
    kinds = layer_kinds(config)
    caches = {kind: _KIND_CACHES[kind](config) for kind in dict.fromkeys(kinds)}
    for cache in (cache for own in caches.values() for cache in own):
        _refuse_overflow(config, cache)
    indexed = _indexed_layers(config, len(kinds))
    shared_from = len(kinds) - config.integer("num_kv_shared_layers", default=0, minimum=0)
    owners: dict[str, int] = {}
    layers: list[Layer] = []
    for index, kind in enumerate(kinds):
        own = caches[kind]
        sharing = bool(own) and index >= shared_from
        if (sharing or index in indexed) and kind not in ONE_CACHE_KINDS:
            config.refuse(
                f"layer {index} is a {kind} layer, where kvprof reads no "
                f"{'num_kv_shared_layers' if sharing else 'sparse attention'}"
            )
        if sharing:
            if kind not in owners:
                config.refuse(f"layer {index} shares a {kind} cache that no layer before it owns")
            layers.append(reading_layer(index, owners[kind], own[0]))
            continue
        owners[kind] = index
        layers.append(indexed[index](index, own) if index in indexed else layer(index, *own))
    attends = not ATTENTION_KINDS.isdisjoint(kinds)
    return CacheLayout(tuple(layers), config.heads if attends else None)


def _refuse_overflow(config: ModelConfig, cache: Cache) -> None:
    """Dimensions made of several numbers (a convolution's channels) are bounded as single ones."""
    for field in cache.fields:
        for name, size in field.dims:
            if size > MAX_DIMENSION:
                config.refuse(
                    f"{name} of {field.name} comes to {size}; at most {MAX_DIMENSION} are read"
                )


_LayerBuilder = Callable[[int, tuple[Cache, ...]], Layer]


def _indexed_layers(config: ModelConfig, layers: int) -> dict[int, _LayerBuilder]:
    """Builders of the layers whose attention is sparse.

    DeepSeek-V3.2 and GLM-5 give every layer an indexer, unless ``indexer_types`` says that it
    reuses the choice of one before it (``shared``); MiniMax-M3 flags its sparse layers.
    """
    if (flags := config.value("sparse_attention_config.sparse_attention_freq")) is not None:
        if not isinstance(flags, list) or len(flags) != layers:
            config.refuse(f"sparse_attention_freq must hold a flag for each of {layers} layers")
        size = config.integer("sparse_attention_config.sparse_index_dim")
        kinds = ["full" if flag else "dense" for flag in flags]
    elif config.has("index_head_dim"):
        size = config.integer("index_head_dim")
        kinds = [str(kind) for kind in config.items("indexer_types") or ["full"] * layers]
        if len(kinds) != layers or not set(kinds) <= {"full", "shared"}:
            config.refuse(f"indexer_types must hold full or shared for each of {layers} layers")
    else:
        return {}
    topk = config.integer("index_topk", default=_DEFAULT_TOPK)
    indexer = {"full": indexer_cache(size), "shared": None}

    def builder(kind: str) -> _LayerBuilder:
        return lambda index, own: sparse_layer(index, own[0], indexer[kind], topk)

    return {index: builder(kind) for index, kind in enumerate(kinds) if kind != "dense"}


def _full(config: ModelConfig) -> tuple[Cache, ...]:
    if config.has("kv_lora_rank"):
        return (latent_cache(config.integer("kv_lora_rank"), config.integer("qk_rope_head_dim")),)
    cache = attention_cache(
        config.integer("num_global_key_value_heads", default=config.kv_heads),
        config.integer("global_head_dim", default=config.head_dim),
        v_head_dim=_optional(config, "v_head_dim"),
        k_is_v=config.flag("attention_k_eq_v", default=False),
    )
    return (cache,)


def _bounded(config: ModelConfig, keep: Keep) -> tuple[Cache, ...]:
    cache = attention_cache(
        config.integer("swa_num_key_value_heads", default=config.kv_heads),
        config.integer("swa_head_dim", default=config.head_dim),
        v_head_dim=_optional(config, "swa_v_head_dim", "v_head_dim"),
        keep=keep,
    )
    return (cache,)


def _optional(config: ModelConfig, *names: str) -> int | None:
    return config.integer(*names) if config.has(*names) else None


def _mamba(config: ModelConfig) -> tuple[Cache, ...]:
    d_state, d_conv = config.integer("d_state"), config.integer("d_conv", minimum=2)
    if config.model_type != "mamba2" and not config.has(
        "mamba_n_heads", "mamba_num_heads", "n_mamba_heads"
    ):
        return (mamba1_cache(_inner(config), d_state, d_conv),)
    heads = config.integer("ssm_heads")
    groups = config.integer("ssm_groups", default=1)
    if config.value("mamba_d_head") == "auto":
        if _inner(config) % heads:
            config.refuse(f"{heads} Mamba heads do not divide an inner size of {_inner(config)}")
        head_dim = _inner(config) // heads
    else:
        head_dim = config.integer("ssm_head_dim")
    return (mamba2_cache(heads, head_dim, d_state, groups, d_conv),)


def _inner(config: ModelConfig) -> int:
    """Channels of a Mamba layer: given, or the expansion of the hidden size.

    In a pure Mamba ``intermediate_size`` is that number; in a hybrid it is the MLP's.
    """
    if config.has("mamba_d_ssm"):
        return config.integer("mamba_d_ssm")
    if config.has("intermediate_size") and not config.has("num_attention_heads"):
        return config.integer("intermediate_size")
    return config.scaled("mamba_expand" if config.has("mamba_expand") else "expand", config.hidden)


def _delta_net(config: ModelConfig) -> tuple[Cache, ...]:
    cache = delta_net_cache(
        "gated_delta_net",
        key_heads=config.integer("linear_num_key_heads"),
        value_heads=config.integer("linear_num_value_heads"),
        key_dim=config.integer("linear_key_head_dim"),
        value_dim=config.integer("linear_value_head_dim"),
        d_conv=config.integer("linear_conv_kernel_dim", minimum=2),
    )
    return (cache,)


def _kimi_delta_net(config: ModelConfig) -> tuple[Cache, ...]:
    heads = config.integer("linear_attn_config.num_heads")
    head_dim = config.integer("linear_attn_config.head_dim")
    cache = delta_net_cache(
        "kda",
        key_heads=heads,
        value_heads=heads,
        key_dim=head_dim,
        value_dim=head_dim,
        d_conv=config.integer("linear_attn_config.short_conv_kernel_size", minimum=2),
    )
    return (cache,)


def _convolution(config: ModelConfig) -> tuple[Cache, ...]:
    return (short_convolution_cache(config.integer("conv_L_cache", minimum=2), config.hidden),)


def _recurrence(config: ModelConfig) -> tuple[Cache, ...]:
    width = config.integer("lru_width", default=config.hidden)
    return (gated_linear_recurrence_cache(width, config.integer("conv1d_width", minimum=2)),)


_KIND_CACHES: dict[str, Callable[[ModelConfig], tuple[Cache, ...]]] = {
    "full": _full,
    "sliding": lambda config: _bounded(config, Last(config.integer("window"))),
    "chunked": lambda config: _bounded(config, Chunk(config.integer("attention_chunk_size"))),
    "parallel": lambda config: (*_full(config), *_mamba(config)),
    "mamba": _mamba,
    "linear": _delta_net,
    "kda": _kimi_delta_net,
    "conv": _convolution,
    "recurrent": _recurrence,
    "none": lambda config: (),
}
