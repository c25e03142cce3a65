"""The general reader: a `ModelConfig` in, a `CacheLayout` out, for every family kvprof knows.

The caches of each kind of layer are built once from the fields of such a layer and laid out in
model order. A plugin calls `read_layout` after adding what only it knows, or builds its layers
itself from `kvprof.layers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from kvprof import attention, states
from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.drafts import draft_kinds
from kvprof.field_reads import FieldReads
from kvprof.indexers import OWN, SHARED, TAIL, with_indexers
from kvprof.kv_sharing import kv_owners
from kvprof.layer_fields import layer_configs
from kvprof.layer_kinds import layer_kinds
from kvprof.layer_words import parts_of
from kvprof.layers import layer, reading_layer, soft_prompt_cache
from kvprof.layout import Cache, CacheLayout, Layer

Builder = Callable[[ModelConfig], Cache]

_ATTENTION: dict[str, Builder] = {
    "full": attention.full_attention,
    "sliding": attention.sliding_attention,
    "chunked": attention.chunked_attention,
}
_BUILDERS: dict[str, Builder] = {
    **_ATTENTION,
    "cross": attention.cross_attention,
    "hashed": attention.hashed_attention,
    "hashed_local": attention.local_attention,
    "memory": attention.memory,
    OWN: attention.indexer,
    TAIL: attention.indexer_tail,
    "mamba": states.mamba,
    "linear": states.delta_net,
    "kda": states.kimi_delta_net,
    "lightning": states.lightning,
    "conv": states.convolution,
    "recurrent": states.recurrence,
    "cca": states.compressed_convolution,
    "ngrams": states.ngrams,
}
"""The cache of each part of a layer; ``short_convolutions`` needs to know the layer's keys."""


def read_layout(config: ModelConfig) -> CacheLayout:
    """Lay out what a config's layers keep.

    Raises
    ------
    ConfigError
        When a field that decides it is missing, malformed, or contradicts another.
    """
    if config.has("local_attention"):  # ModernBERT: half of it on either side
        window = config.integer("local_attention", minimum=2) // 2
        config = config.with_defaults({"sliding_window": window})
    kinds = with_indexers(config, layer_kinds(config))
    configs = layer_configs(config, len(kinds))
    owners = kv_owners(config, kinds)
    memo: dict[tuple[str, int], tuple[Cache, ...]] = {}

    def caches_of(kind: str, own: ModelConfig) -> tuple[Cache, ...]:
        key = kind, id(own)
        if key not in memo:
            memo[key] = _caches(own, parts_of(kind))
        return memo[key]

    layers: list[Layer] = []
    for index, kind in enumerate(kinds):
        caches = caches_of(kind, configs[index])
        owner = owners[index]
        if owner == index:
            layers.append(_layer(config, index, kind, caches))
        else:
            shared = caches_of(kinds[owner], configs[owner])[0]
            layers.append(_sharing_layer(config, index, kind, caches[1:], owner, shared))
    like = dict(zip(kinds, configs, strict=True))  # a predictor is as the last layer of its kind
    drafts = tuple(
        _layer(config, index, kind, caches_of(kind, like.get(kind, config)))
        for index, kind in enumerate(draft_kinds(config, kinds), start=len(kinds))
    )
    attending = (
        own.heads
        for own, kind in zip(configs, kinds, strict=True)
        if not _ATTENTION.keys().isdisjoint(parts_of(kind))
    )
    return bounded(config, CacheLayout(tuple(layers), next(attending, None), drafts))


def _layer(config: ModelConfig, index: int, kind: str, caches: tuple[Cache, ...]) -> Layer:
    sparse = not {OWN, SHARED}.isdisjoint(parts_of(kind))
    return layer(index, *caches, topk=attention.index_topk(config) if sparse else None)


def _sharing_layer(
    config: ModelConfig,
    index: int,
    kind: str,
    caches: tuple[Cache, ...],
    owner: int,
    shared: Cache,
) -> Layer:
    """A layer that reads another's keys and values, beside what it still keeps itself."""
    own = _layer(config, index, kind, caches)
    return replace(own, does=own.does + reading_layer(index, owner, shared).does)


def _caches(config: ModelConfig, parts: tuple[str, ...]) -> tuple[Cache, ...]:
    """The caches of one layer, attention first."""
    caches: list[Cache] = []
    for part in parts:
        if part == SHARED:
            continue
        build = _BUILDERS.get(part)
        if part == "short_convolutions":
            if not caches:
                config.refuse(
                    "has short convolutions of keys and values (rel_extent) in a layer without any"
                )
            build = partial(states.short_convolutions, kv_width=caches[0].fields[0].elements)
        if build is None:
            config.refuse(f"has a {part} layer, which no general rule can build")
        caches.append(_built(config, build))
        prompt = states.soft_prompt_tokens(config) if part in _ATTENTION else 0
        if prompt:
            caches.append(soft_prompt_cache(prompt, caches[-1]))
    return tuple(caches)


def _built(config: ModelConfig, build: Builder) -> Cache:
    """Build a cache; whoever wants to know finds the fields that it was made of."""
    if config.reads is None:
        return build(config)
    own = FieldReads()
    cache = build(replace(config, reads=own))
    config.reads.of_cache.setdefault(cache, {}).update(own.fields)
    return cache
