"""A `ModelConfig` and its kinds of layers in, whose keys and values each layer reads out."""

from __future__ import annotations

from kvprof.config import ModelConfig
from kvprof.layer_words import Kinds

_SHARED_PARTS = ("full", "sliding", "chunked")
"""Parts of a layer whose cache another layer may read instead of one of its own."""


def kv_owners(config: ModelConfig, kinds: Kinds) -> tuple[int, ...]:
    """The layer whose keys and values each layer reads: itself, unless it shares another's.

    Raises
    ------
    ConfigError
        When a layer shares what no layer before it owns, or what cannot be shared.
    """
    if config.has("num_kv_shared_layers"):
        return _last_of_their_kind(config, kinds)
    if config.has("kv_source_layers"):
        return _listed(config, len(kinds))
    if config.has("cla_share_factor") and config.flag("use_cla", default=True):
        factor = config.integer("cla_share_factor")
        return tuple(index - index % factor for index in range(len(kinds)))
    return tuple(range(len(kinds)))


def _last_of_their_kind(config: ModelConfig, kinds: Kinds) -> tuple[int, ...]:
    """Gemma 3n: the last layers read what the last owner of their kind keeps."""
    name = "num_kv_shared_layers"
    shared_from = len(kinds) - config.integer(name, minimum=0)
    owners: dict[str, int] = {}
    found = []
    for index, kind in enumerate(kinds):
        if index >= shared_from and kind != "none":
            if kind not in _SHARED_PARTS:
                config.refuse(f"layer {index} is a {kind} layer, where kvprof reads no {name}")
            if kind not in owners:
                config.refuse(f"layer {index} shares a {kind} cache that no layer before it owns")
        else:
            owners[kind] = index
        found.append(owners[kind])
    return tuple(found)


def _listed(config: ModelConfig, layers: int) -> tuple[int, ...]:
    """Mistral Large 4: ``kv_source_layers`` names the owner of every layer's latent."""
    name = "kv_source_layers"
    values = config.items(name) or []
    sources = tuple(config.whole_number(name, value, 0) for value in values)
    if len(sources) != layers:
        config.refuse(f"{name} names {len(sources)} layers, but there are {layers}")
    for index, source in enumerate(sources):
        if source > index or sources[source] != source:
            config.refuse(f"{name}: layer {index} shares the cache of layer {source}, no owner")
    return sources
