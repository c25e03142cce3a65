"""A layout and a number of ranks in, what one rank keeps out: heads divided, latents replicated."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from msgspec.structs import replace

from kvprof.errors import UsageError
from kvprof.layout import Cache, CacheLayout, Dims, Field, Layer


def rank_layout(layout: CacheLayout, ranks: int) -> CacheLayout:
    """What each of ``ranks`` tensor-parallel ranks keeps of a layout.

    KV heads are divided, and replicated where there are fewer than ranks; heads and channels of
    states are divided, the groups of Mamba-2 padded to the ranks (vLLM mamba_utils.py,
    extra_groups_for_head_shards); latents, RoPE keys and indexers are whole on every rank.

    Raises
    ------
    UsageError
        When the ranks do not divide what must be divided.
    """
    if ranks == 1:
        return layout
    known: dict[Cache, Cache] = {}

    def of_rank(layer: Layer) -> Layer:
        for cache in layer.owns:
            if cache not in known:
                fields = tuple(_field(field, ranks) for field in cache.fields)
                known[cache] = replace(cache, fields=fields)
        return replace(layer, owns=tuple(known[cache] for cache in layer.owns))

    heads = layout.query_heads and _divided("query heads", layout.query_heads, ranks)
    return replace(
        layout,
        layers=tuple(map(of_rank, layout.layers)),
        query_heads=heads,
        draft=tuple(map(of_rank, layout.draft)),
    )


def _field(field: Field, ranks: int) -> Field:
    if not field.sum_of:
        return replace(field, dims=_dims(field.dims, ranks))
    terms = tuple(_dims(term, ranks) for term in field.sum_of)
    total = sum(prod(size for _, size in term) for term in terms)
    name, _ = field.dims[-1]
    dims = (*_dims(field.dims[:-1], ranks), (name, total))
    return replace(field, dims=dims, sum_of=terms)


def _dims(dims: Dims, ranks: int) -> Dims:
    return tuple((name, _SHARES.get(name, _whole)(name, size, ranks)) for name, size in dims)


def _whole(name: str, size: int, ranks: int) -> int:
    return size


def _divided(name: str, size: int, ranks: int) -> int:
    if size % ranks:
        raise UsageError(
            f"--tensor-parallel {ranks} does not divide {size} {name.replace('_', ' ')}",
            hint=f"Try a divisor of {size}.",
        )
    return size // ranks


def _kv_heads(name: str, size: int, ranks: int) -> int:
    if size < ranks and ranks % size == 0:
        return 1
    return _divided(name, size, ranks)


def _groups(name: str, size: int, ranks: int) -> int:
    return size // ranks if size % ranks == 0 else 1


_SHARES: dict[str, Callable[[str, int, int], int]] = {
    "kv_heads": _kv_heads,
    "heads": _divided,
    "channels": _divided,
    "groups": _groups,
}
"""How each named dimension is shared out; any other is whole on every rank."""
