"""A size result and its model in, the same result with the fields behind each cache out."""

from __future__ import annotations

from msgspec.structs import replace

from kvprof.field_reads import FieldRead, FieldReads
from kvprof.model import Model, lay_out
from kvprof.result import CacheFacts, SizeResult


def explained(result: SizeResult, model: Model) -> SizeResult:
    """Say of each cache which fields of the config led to it.

    The config is laid out again, and every field that is asked for is noted. Fields that name the
    kinds of layers are behind every cache; a plugin that builds layers itself has read all of its
    fields for each of them.

    Raises
    ------
    ConfigError, PluginError
        As laying out the model did.
    """
    sources = field_sources(model)
    caches = tuple(replace(cache, explain=_behind(cache, sources)) for cache in result.caches)
    return replace(result, caches=caches)


def field_sources(model: Model) -> dict[tuple[int, str], dict[str, FieldRead]]:
    """The fields behind each cache, by its layer and key, draft layers included."""
    reads = FieldReads()
    layout = lay_out(replace(model.config, reads=reads)).layout
    return {
        (layer.index, cache.key): reads.behind(cache)
        for layer in (*layout.layers, *layout.draft)
        for cache in layer.owns
    }


def _behind(
    cache: CacheFacts, sources: dict[tuple[int, str], dict[str, FieldRead]]
) -> tuple[FieldRead, ...]:
    found: dict[str, FieldRead] = {}
    for layer in cache.layers:
        found |= sources.get((layer, cache.name), {})
    return tuple(found.values())
