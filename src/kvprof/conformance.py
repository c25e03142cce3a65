"""What a layout must satisfy, whoever made it: a layout in, the reasons why it is wrong out."""

from __future__ import annotations

from collections.abc import Iterator

from kvprof.config import MAX_DIMENSION, MAX_LAYERS
from kvprof.dtypes import ELEMENT_BITS
from kvprof.layout import (
    CACHE,
    MODEL,
    STATE,
    Access,
    All,
    Cache,
    CacheLayout,
    Chunk,
    Clock,
    Last,
    Mode,
    Once,
    Tail,
    TopK,
    Whole,
)

CODECS = ("plain", "mla_latent", "mla_rope", "mla_index")
_A_SIZE = f"a whole number from 1 to {MAX_DIMENSION}"


def layout_problems(layout: object) -> list[str]:
    """Every reason why this is no usable layout; empty when it is one."""
    if not isinstance(layout, CacheLayout):
        return [f"the layout is {type(layout).__name__}, not a CacheLayout"]
    try:
        return _problems(layout)
    except (AttributeError, TypeError, ValueError) as error:  # structs do not check their parts
        return [
            f"the layout is not made of tuples of Layer, Cache, Field and Access: "
            f"{type(error).__name__}: {error}"
        ]


def _problems(layout: CacheLayout) -> list[str]:
    problems = list(_order_problems(layout))
    checked: dict[Cache, list[str]] = {}
    for layer, cache in layout.caches():
        if not isinstance(cache, Cache):
            return [f"layer {layer.index} owns {cache!r}, which is no Cache"]
        if cache not in checked:
            checked[cache] = list(_cache_problems(cache))
            problems += [f"layer {layer.index}, cache {cache.key!r}: {p}" for p in checked[cache]]
    problems += _access_problems(layout)
    return problems


def _order_problems(layout: CacheLayout) -> Iterator[str]:
    if not layout.layers:
        yield "the layout has no layers"
    if len(layout.layers) > MAX_LAYERS:
        yield f"{len(layout.layers)} layers are more than {MAX_LAYERS}"
    for place, layer in enumerate(layout.layers):
        if layer.index != place:
            yield f"layer {place} has index {layer.index}; layers are numbered in model order"
        keys = [cache.key for cache in layer.owns]
        if len(set(keys)) != len(keys):
            yield f"layer {place} owns two caches of one key: {', '.join(keys)}"


def _cache_problems(cache: Cache) -> Iterator[str]:
    if not cache.fields:
        yield "it has no fields"
    names = [field.name for field in cache.fields]
    if len(set(names)) != len(names):
        yield f"two of its fields share a name: {', '.join(names)}"
    for field in cache.fields:
        for name, size in field.dims:
            if not _positive(size):
                yield f"{field.name}: dimension {name} is {size!r}; it must be {_A_SIZE}"
        if not field.dims:
            yield f"{field.name}: has no dimensions"
        if field.dtype not in (CACHE, STATE, MODEL) and field.dtype not in ELEMENT_BITS:
            yield f"{field.name}: dtype {field.dtype!r} is no role and no element type"
        if field.codec not in CODECS:
            yield f"{field.name}: codec {field.codec!r} is none of {', '.join(CODECS)}"
    if not isinstance(cache.keep, All | Last | Chunk | Tail | Once):
        yield f"keep is {cache.keep!r}; it must be All, Last, Chunk, Tail or Once"
    elif isinstance(cache.keep, Last | Chunk | Tail) and not _positive(cache.keep.n):
        yield f"keep is {cache.keep}; its size must be {_A_SIZE}"
    if isinstance(cache.keep, Once) != (cache.clock is Clock.SEQUENCE):
        yield "a cache kept Once, and no other, runs on the SEQUENCE clock"
    if not _positive(cache.entry_tokens):
        yield f"entry_tokens is {cache.entry_tokens!r}; it must be {_A_SIZE}"


def _access_problems(layout: CacheLayout) -> Iterator[str]:
    owned = {(layer.index, cache.key): cache for layer, cache in layout.caches()}
    used: dict[tuple[int, str], set[Mode]] = {key: set() for key in owned}
    for layer in layout.layers:
        for access in layer.does:
            cache = owned.get((access.layer, access.key))
            if cache is None:
                yield (
                    f"layer {layer.index} uses the cache {access.key!r} of layer {access.layer}, "
                    "which owns none of that key"
                )
            else:
                used[access.layer, access.key].add(access.mode)
                yield from _mode_problems(layer.index, access, cache)
    for (index, key), modes in used.items():
        cache = owned[index, key]
        kept_by_sequence = isinstance(cache.keep, Once)
        # What the encoder wrote, or entries that were learnt, is only read while decoding.
        entries_only = all(field.dtype == CACHE for field in cache.fields)
        updated = kept_by_sequence and not entries_only
        wanted = {Mode.RMW} if updated else {Mode.READ}
        if cache.clock is Clock.DECODER and not kept_by_sequence:
            wanted.add(Mode.APPEND)
        for mode in sorted(wanted - modes):
            yield f"layer {index}, cache {key!r}: no layer ever does {mode.value} to it"


def _mode_problems(index: int, access: Access, cache: Cache) -> Iterator[str]:
    where = f"layer {index}, {access.mode.value} of {access.key!r}"
    if not isinstance(access.span, All | Last | TopK | Whole):
        yield f"{where}: span is {access.span!r}; it must be All, Last, TopK or Whole"
    elif isinstance(access.span, Last | TopK) and not _positive(access.span.n):
        yield f"{where}: span is {access.span}; its size must be {_A_SIZE}"
    if isinstance(cache.keep, Once) and access.mode is Mode.APPEND:
        yield f"{where}: a state is updated (RMW), not appended to"
    if not isinstance(cache.keep, Once) and access.mode is Mode.RMW:
        yield f"{where}: only a state kept Once is updated in place"


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_DIMENSION
