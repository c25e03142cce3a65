"""A layout in, the field's name for its family out."""

from __future__ import annotations

from kvprof.layers import INDEXER
from kvprof.layout import All, Cache, CacheLayout, Chunk, Clock, Last

_STATE_LABELS = {
    "mamba1": "ssm",
    "mamba2": "ssm2",
    "gated_delta_net": "linear",
    "kda": "linear",
    "rg_lru": "linear",
    "short_convolution": "linear",
    "mlstm": "linear",
    "lightning": "linear",
    "rwkv": "linear",
    "cca": "linear",
    "short_convolutions": "linear",
    "ngrams": "linear",
}


def label_of(layout: CacheLayout) -> str | None:
    """``mha``, ``mqa``, ``gqa``, ``mla``, ...: derived, since a Llama config can be any of three.

    None when the layout keeps something that has no name here: a plugin's own kind of cache.
    """
    caches = {cache.key: cache for _, cache in layout.caches()}
    if any(cache.clock is Clock.ENCODER for cache in caches.values()):
        return "cross"
    if any(cache.entry_tokens > 1 and cache.key != INDEXER for cache in caches.values()):
        return "compressed"
    states = {_STATE_LABELS[key] for key in caches if key in _STATE_LABELS}
    attention = {
        _attention_label(cache, layout.query_heads)
        for key, cache in caches.items()
        if key not in _STATE_LABELS
    }
    if None in attention:
        return None
    if states and attention:
        return "hybrid"
    if states:
        return min(states)
    for mixed in ("sparse", "chunked", "sliding", "mla"):
        if mixed in attention:
            return mixed
    return next(iter(attention), None)


def _attention_label(cache: Cache, query_heads: int | None) -> str | None:
    names = [field.name for field in cache.fields]
    if names == ["latent", "k_rope"]:
        return "mla"
    if names == ["index_k"]:
        return "sparse"
    if names not in (["k", "v"], ["kv"]):
        return None
    if isinstance(cache.keep, Last):
        return "sliding"
    if isinstance(cache.keep, Chunk):
        return "chunked"
    if not isinstance(cache.keep, All):
        return None
    kv_heads = cache.fields[0].shape[0]
    if kv_heads == 1:
        return "mqa"
    return "mha" if kv_heads == query_heads else "gqa"
