"""How an engine orders memory: a page's rows in segments, layers or blocks outermost.

A page is the same bytes in every order. What differs is how long its runs are: a token appended to
a page of whole rows is one run, to a page of heads one for each head; a block that is moved to the
host is one run where its layers lie together, one for each layer where they do not.
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

from kvprof.accounting import field_bytes
from kvprof.layout import APART, Cache, Field, Once

Heads = Literal["nhd", "hnd"]
KeysAndValues = Literal["packed", "apart"]
Outer = Literal["layer", "block"]

HEADS: tuple[str, ...] = get_args(Heads)
KEYS_AND_VALUES: tuple[str, ...] = get_args(KeysAndValues)
OUTER: tuple[str, ...] = get_args(Outer)

_HEAD_DIM = "kv_heads"


class PageOrder(Struct, frozen=True):
    """An engine's memory order.

    Attributes
    ----------
    heads
        ``nhd``: a page is ``[rows, heads, head_dim]``, a token's heads lie together. ``hnd``: it is
        ``[heads, rows, head_dim]``, a head's tokens do. Caches without heads have one order.
    kv
        ``packed``: K and V of a row (of a head's row) side by side. ``apart``: all of a page's K,
        then all of its V.
    outer
        ``layer``: ``[layers, blocks, page]``, as vLLM's LBNHC. ``block``: ``[blocks, layers,
        page]``, as its BLNHC and as TensorRT-LLM has it.
    """

    heads: Heads = "nhd"
    kv: KeysAndValues = "packed"
    outer: Outer = "layer"


class Segment(Struct, frozen=True):
    """Equal rows that lie together in a page; ``dtype`` where a row has but one."""

    name: str
    offset_bytes: int
    row_bytes: int
    dtype: str | None = None


def page_segments(cache: Cache, rows: int, order: PageOrder) -> tuple[Segment, ...]:
    """The segments of a page of ``rows`` entries of a bound cache, in the order in which they lie.

    Tensors of a state are segments of their own, as are scales that a format keeps behind all rows
    (an indexer's, DeepSeek V4's packed record).
    """
    segments: list[Segment] = []
    end = 0
    for fields in _rows_of(cache, order):
        heads = _heads(fields) if order.heads == "hnd" else None
        row_bytes = sum(field_bytes(field) for field in fields) // (heads or 1)
        name = "+".join(field.name for field in fields)
        dtypes = {field.dtype for field in fields}
        dtype = dtypes.pop() if len(dtypes) == 1 else None
        for head in range(heads or 1):
            label = name if heads is None else f"{name}[{head}]"
            segments.append(Segment(label, end, row_bytes, dtype))
            end += rows * row_bytes
    return tuple(segments)


def _rows_of(cache: Cache, order: PageOrder) -> list[tuple[Field, ...]]:
    """The fields that share a row."""
    if isinstance(cache.keep, Once):
        return [(field,) for field in cache.fields]
    together = tuple(field for field in cache.fields if field.codec != APART)
    behind = [(field,) for field in cache.fields if field.codec == APART]
    if order.kv == "packed" or _heads(together) is None:
        return [together, *behind]
    by_tensor: dict[str, list[Field]] = {}
    for field in together:
        by_tensor.setdefault(field.name.removesuffix("_scale"), []).append(field)
    return [*map(tuple, by_tensor.values()), *behind]


def _heads(fields: tuple[Field, ...]) -> int | None:
    """KV heads that a row can be split by: all fields have them outermost and equally many."""
    heads = {field.dims[0] for field in fields if field.dims}
    if len(heads) != 1 or len(fields) == 0:
        return None
    name, count = heads.pop()
    return count if name == _HEAD_DIM else None
