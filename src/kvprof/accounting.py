"""Bytes of a bound layout, as pure functions: per token, at a context, per decode step."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

from kvprof.dtypes import ELEMENT_BITS
from kvprof.layout import (
    Access,
    All,
    Cache,
    CacheLayout,
    Clock,
    Field,
    Last,
    Mode,
    Once,
    TopK,
    entries,
    most_entries,
)


class CacheGroup(Struct, frozen=True):
    """Layers that keep the same cache."""

    cache: Cache
    layers: tuple[int, ...]


class Traffic(Struct, frozen=True):
    """Bytes that one decode step of one sequence moves, by cache key.

    ``sparse``: of rows that were chosen, and lie anywhere.
    """

    cache: str
    mode: Mode
    bytes_read: int
    bytes_written: int
    sparse: bool = False


def field_bytes(field: Field) -> int:
    """Bytes of one entry of a bound field. Raises KeyError when its dtype is still a role."""
    bits = field.elements * ELEMENT_BITS[field.dtype]
    return -(-bits // 8)


def entry_bytes(cache: Cache) -> int:
    """Bytes of one entry in one layer."""
    return sum(field_bytes(field) for field in cache.fields)


def cache_groups(layout: CacheLayout) -> tuple[CacheGroup, ...]:
    """Equal caches together, in the order in which they first appear."""
    layers: dict[Cache, list[int]] = {}
    for layer, cache in layout.caches():
        layers.setdefault(cache, []).append(layer.index)
    return tuple(CacheGroup(cache, tuple(indices)) for cache, indices in layers.items())


def bytes_per_token(group: CacheGroup) -> Fraction:
    """Bytes that each further token adds in all layers of the group, before any limit."""
    if group.cache.clock is not Clock.DECODER:
        return Fraction(0)
    return Fraction(entry_bytes(group.cache) * len(group.layers), group.cache.entry_tokens)


def per_token(groups: Sequence[CacheGroup]) -> Fraction:
    """Bytes per token of all DECODER caches, windowed ones included."""
    return sum((bytes_per_token(group) for group in groups), Fraction(0))


def growing_per_token(groups: Sequence[CacheGroup]) -> Fraction:
    """Bytes per token of the caches that keep every entry."""
    growing = (bytes_per_token(group) for group in groups if isinstance(group.cache.keep, All))
    return sum(growing, Fraction(0))


def window_bytes(groups: Sequence[CacheGroup]) -> int:
    """The most that the bounded caches of a sequence can hold."""
    return sum(
        (most_entries(group.cache.keep) or 0) * entry_bytes(group.cache) * len(group.layers)
        for group in groups
        if not isinstance(group.cache.keep, All | Once)
    )


def fixed_bytes(groups: Sequence[CacheGroup]) -> int:
    """Bytes of the states of a sequence, whatever its length."""
    return sum(
        entry_bytes(group.cache) * len(group.layers)
        for group in groups
        if isinstance(group.cache.keep, Once)
    )


def group_bytes(group: CacheGroup, tokens: int, encoder_tokens: int = 0) -> int:
    """Bytes that one sequence of T tokens holds in all layers of the group."""
    held = entries(group.cache, tokens, encoder_tokens)
    return held * entry_bytes(group.cache) * len(group.layers)


def logical_bytes(groups: Sequence[CacheGroup], tokens: int, encoder_tokens: int = 0) -> int:
    """What the architecture must keep for one sequence of T tokens."""
    return sum(group_bytes(group, tokens, encoder_tokens) for group in groups)


def wasted_ratio(logical: int, reserved: int) -> float:
    """The share of the reserved bytes that is not needed; 0 of nothing.

    Below 0 where an engine keeps less than the architecture must.
    """
    return (reserved - logical) / reserved if reserved else 0.0


def step_traffic(layout: CacheLayout, tokens: int, encoder_tokens: int = 0) -> tuple[Traffic, ...]:
    """What one decode step that ends with T tokens reads and writes, by cache, mode and sparseness.

    A layer that reads another's cache is charged for it: owning and reading are different things.
    """
    owned = {(layer.index, cache.key): cache for layer, cache in layout.caches()}
    moved: dict[tuple[str, Mode, bool], list[int]] = {}
    for layer in layout.layers:
        for access in layer.does:
            cache = owned[access.layer, access.key]
            size = _rows(access, cache, tokens, encoder_tokens) * entry_bytes(cache)
            kind = (cache.key, access.mode, isinstance(access.span, TopK))
            total = moved.setdefault(kind, [0, 0])
            total[0] += size if access.mode is not Mode.APPEND else 0
            total[1] += size if access.mode is not Mode.READ else 0
    return tuple(
        Traffic(key, mode, read, written, sparse)
        for (key, mode, sparse), (read, written) in moved.items()
    )


def _rows(access: Access, cache: Cache, tokens: int, encoder_tokens: int) -> int:
    if access.mode is Mode.APPEND:
        made = tokens // cache.entry_tokens
        return made - max(0, tokens - 1) // cache.entry_tokens
    kept = entries(cache, tokens, encoder_tokens)
    match access.span:
        case Last(n) | TopK(n):
            return min(kept, n)
    return kept
