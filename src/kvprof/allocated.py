"""An `Allocation` that is no plan of blocks, and a request in: what it sets aside, and wastes, out.

Contiguous runs and physical pages, as the compiled policies count them in a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from msgspec import Struct

from kvprof.accounting import CacheGroup, cache_groups, entry_bytes, field_bytes, fixed_bytes
from kvprof.accounting import per_token as bytes_per_token
from kvprof.allocation import Allocation, Pages, Reserve
from kvprof.layout import All, Cache, CacheLayout, Clock, Last, Once, entries, held, most_entries
from kvprof.plan import REQUEST_WASTES, Limits


class PageTensors(Struct, frozen=True):
    """``count`` tensors of rows of ``row_bytes`` that need new pages at the same tokens."""

    cache: Cache
    row_bytes: int
    count: int
    caches: tuple[str, ...]
    layers: tuple[int, ...]


def page_tensors(kept: Sequence[CacheGroup]) -> tuple[PageTensors, ...]:
    """Tensors of equal rows and retention together, in model order."""
    found: dict[object, PageTensors] = {}
    for group in kept:
        cache = group.cache
        for field in cache.fields:
            row = field_bytes(field)
            key = (cache.keep, cache.clock, cache.entry_tokens, cache.begins_at, row)
            others = found.get(key, PageTensors(cache, row, 0, (), ()))
            found[key] = PageTensors(
                others.cache,
                row,
                others.count + len(group.layers),
                tuple(dict.fromkeys((*others.caches, cache.key))),
                tuple(sorted({*others.layers, *group.layers})),
            )
    return tuple(found.values())


def unit_bytes(kept: Sequence[CacheGroup]) -> int:
    """What contiguous runs are counted in: the bytes of a token, or of a sequence's states."""
    return int(bytes_per_token(kept)) or fixed_bytes(kept) or 1


def allocated_wastes(
    allocation: Allocation | None, kept: CacheLayout, logical: int, tokens: int, limits: Limits
) -> dict[str, int] | None:
    """Wastes of one request of ``tokens`` tokens at its end; with ``logical`` they are reserved.

    Of ``pow2`` all its tokens are taken for output: with a prompt among them the run is as long or
    shorter. None of an allocation that is neither runs nor pages.
    """
    groups = cache_groups(kept)
    match allocation:
        case Reserve():
            found = _run_wastes(allocation, groups, tokens, limits)
        case Pages(page_bytes):
            found = _page_wastes(page_bytes, groups, tokens, limits.encoder_tokens)
        case _:
            return None
    found["convention"] = found.get("convention", 0) - logical
    return dict.fromkeys(REQUEST_WASTES, 0) | found


def peak_allocated_bytes(
    allocation: Allocation | None, kept: CacheLayout, tokens: int, limits: Limits
) -> int | None:
    """The most that a request has set aside on its way to ``tokens`` tokens; None as above."""
    groups = cache_groups(kept)
    match allocation:
        case Reserve():
            return _run_bytes(allocation, groups, tokens, limits)
        case Pages(page_bytes):
            return page_bytes * sum(
                _peak_pages(each, page_bytes, tokens, limits.encoder_tokens) * each.count
                for each in page_tensors(groups)
            )
    return None


def _most_bytes(kept: Sequence[CacheGroup], tokens: int, encoder_tokens: int) -> int:
    """Of each cache by itself the most on the way to that length."""
    return sum(
        _most_rows(group.cache, tokens, encoder_tokens)
        * entry_bytes(group.cache)
        * len(group.layers)
        for group in kept
    )


def _most_rows(cache: Cache, tokens: int, encoder_tokens: int) -> int:
    most = most_entries(cache.keep)
    if most is None or isinstance(cache.keep, Once) or cache.clock is Clock.ENCODER:
        return entries(cache, tokens, encoder_tokens)
    return min(held(cache, tokens, encoder_tokens).stop, most)


def _run_tokens(reserve: Reserve, tokens: int, longest: int) -> int:
    if reserve.tokens == "max":
        return longest
    if reserve.tokens == "pow2" and tokens:
        return max(tokens, min(longest, 1 << (tokens - 1).bit_length()))
    return tokens


def _run_bytes(reserve: Reserve, kept: Sequence[CacheGroup], tokens: int, limits: Limits) -> int:
    """The run, in whole units; a buddy allocator's are powers of two."""
    unit = unit_bytes(kept)
    asked = _run_tokens(reserve, tokens, limits.max_model_len)
    units = -(-_most_bytes(kept, asked, limits.encoder_tokens) // unit)
    if reserve.fit == "buddy" and units:
        units = 1 << (units - 1).bit_length()
    return units * unit


def _run_wastes(
    reserve: Reserve, kept: Sequence[CacheGroup], tokens: int, limits: Limits
) -> dict[str, int]:
    asked = _run_tokens(reserve, tokens, limits.max_model_len)
    held_now = sum(
        entries(g.cache, tokens, limits.encoder_tokens) * entry_bytes(g.cache) * len(g.layers)
        for g in kept
    )
    used = _most_bytes(kept, tokens, limits.encoder_tokens)
    most = _most_bytes(kept, asked, limits.encoder_tokens)
    return {
        "convention": held_now,
        "reserved_for_later": used - held_now,
        "never_used": most - used,
        "padding": _run_bytes(reserve, kept, tokens, limits) - most,
    }


def _pages(rows: range, row_bytes: int, page_bytes: int) -> range:
    if not rows:
        return range(0)
    return range(rows.start * row_bytes // page_bytes, -(-rows.stop * row_bytes // page_bytes))


def _page_wastes(
    page_bytes: int, kept: Sequence[CacheGroup], tokens: int, encoder_tokens: int
) -> dict[str, int]:
    wastes = {"convention": 0, "window_slack": 0, "tail": 0}
    for each in page_tensors(kept):
        rows = held(each.cache, tokens, encoder_tokens)
        pages = _pages(rows, each.row_bytes, page_bytes)
        if not pages:
            continue
        before = rows.start * each.row_bytes - pages.start * page_bytes
        after = pages.stop * page_bytes - rows.stop * each.row_bytes
        wastes["convention"] += len(rows) * each.row_bytes * each.count
        wastes["window_slack"] += before * each.count
        wastes["tail"] += after * each.count
    return wastes


def _peak_pages(each: PageTensors, page_bytes: int, tokens: int, encoder_tokens: int) -> int:
    """A window or a chunk may start anywhere in a page that a multiple of its rows comes to."""
    keep, row = each.cache.keep, each.row_bytes
    made, most = held(each.cache, tokens, encoder_tokens).stop, most_entries(keep)
    if isinstance(keep, All | Once) or most is None or made <= most:
        return len(_pages(range(made), row, page_bytes))
    step = gcd(row if isinstance(keep, Last) else row * keep.n, page_bytes)
    return -(-(page_bytes - step + most * row) // page_bytes)
