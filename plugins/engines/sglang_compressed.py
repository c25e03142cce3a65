"""DeepSeek V4 in SGLang 0.5.23: pages of 256 tokens, windows with their rings, rings of requests.

Pools are mem_cache/deepseek_v4_memory_pool.py, their sizes model_executor/pool_configurator.py
(DSV4PoolConfigurator), what leaves a window mem_cache/common.py (free_swa_out_of_window_slots).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from kvprof.accounting import CacheGroup, entry_bytes
from kvprof.conventions import is_compressor, is_latent, overlaps
from kvprof.errors import UsageError
from kvprof.layout import All, Cache, CacheLayout, Clock, Keep, Last, Once, Tail
from kvprof.page_order import page_segments
from kvprof.plan import AllocationPlan, Holding, Limits, Part, PlanGroup

POLICY = "slots"
PAGE_TOKENS = 256
MOST_REQUESTS = 256
"""Requests that run at once (arg_groups/deepseek_v4_hook.py), each with a ring of its own."""
_LATENT_ALIGNMENT = 576
_RATES = (4, 128)
_WINDOW_RATIO = "0.1"
_MOST_DRAFTED = 9
"""A ring for groups of 4 serves 10 tokens at once (get_compress_state_write_pad)."""


def compressed_plan(
    found: Sequence[CacheGroup], layout: CacheLayout, limits: Limits
) -> AllocationPlan:
    """Place compressed entries, windows with the rings of groups of 4, and rings of requests.

    Raises
    ------
    UsageError
        When SGLang would not start so, or the layers are not DeepSeek V4's.
    """
    _check(found, limits)
    pools = _pools(found)
    groups = tuple(_plan_group(keep, members, limits) for keep, members in pools.items())
    plan = AllocationPlan(POLICY, groups, limits)
    if limits.memory_bytes is None:
        return plan
    shares = _shares(groups, layout, limits)
    tokens = int(max(0, limits.memory_bytes - shares.fixed_bytes) / shares.token_bytes)
    return replace(
        plan, groups=tuple(replace(g, num_blocks=_blocks(g, shares, tokens)) for g in groups)
    )


def _check(found: Sequence[CacheGroup], limits: Limits) -> None:
    rates = {g.cache.entry_tokens for g in found if isinstance(g.cache.keep, All)}
    windows = {g.cache.keep for g in found if _is_window(g.cache)}
    tails = any(isinstance(group.cache.keep, Tail) for group in found)
    if tails or not rates <= set(_RATES) or len(windows) != 1:
        raise UsageError(
            "kvprof knows SGLang's pools of compressed attention with one entry for 4 or 128 "
            "tokens and one window (DeepSeek V4) only",
            hint="Try --engine paged.",
        )
    if limits.block_size not in (None, PAGE_TOKENS):
        raise UsageError(
            f"--block-size {limits.block_size}: sglang keeps compressed attention in pages of "
            f"{PAGE_TOKENS} tokens",
            hint="Leave --block-size out.",
        )
    if limits.speculative > _MOST_DRAFTED:
        raise UsageError(
            f"--speculative {limits.speculative}: sglang's rings of compressors serve at most "
            f"{_MOST_DRAFTED} drafted tokens",
            hint=f"Try --speculative {_MOST_DRAFTED}.",
        )


def _is_window(cache: Cache) -> bool:
    return isinstance(cache.keep, Last) and not is_compressor(cache)


def _pools(found: Sequence[CacheGroup]) -> dict[Keep, list[CacheGroup]]:
    """What shares pages: all entries; windows, rings that overlap; a request's rings."""
    (window,) = {group.cache.keep for group in found if _is_window(group.cache)}
    pools: dict[Keep, list[CacheGroup]] = {All(): [], window: [], Once(): []}
    for group in sorted(found, key=lambda group: is_compressor(group.cache)):
        cache = group.cache
        if not is_compressor(cache):
            pools[cache.keep].append(group)
        else:
            pools[window if overlaps(cache) else Once()].append(group)
    return {keep: members for keep, members in pools.items() if members}


def _plan_group(keep: Keep, members: Sequence[CacheGroup], limits: Limits) -> PlanGroup:
    parts = tuple(_part(member, limits) for member in members)
    if isinstance(keep, Once):
        rows, block_size, clock, entry_tokens = 1, limits.max_model_len, Clock.SEQUENCE, 1
    else:
        entry_tokens = members[0].cache.entry_tokens
        rows, block_size, clock = PAGE_TOKENS // entry_tokens, PAGE_TOKENS, Clock.DECODER
    return PlanGroup(
        keep=keep,
        clock=clock,
        entry_tokens=entry_tokens,
        rows_per_block=rows,
        block_size=block_size,
        parts=parts,
        holding=Holding(
            lookahead_tokens=limits.speculative,
            longest_tokens=limits.max_model_len,
            in_flight_tokens=limits.speculative,
            retained_tokens=_retained(keep, limits) if isinstance(keep, Last) else 0,
            window_step=PAGE_TOKENS if isinstance(keep, Last) else 0,
            checkpoint_tokens=0,  # groups are whole where a page ends
        ),
    )


def _part(member: CacheGroup, limits: Limits) -> Part:
    """Pages of latents are rounded up; a ring is twice as long while tokens are drafted."""
    cache = member.cache
    ring = 0
    if is_compressor(cache) and isinstance(cache.keep, Last):
        ring = cache.keep.n * (2 if limits.speculative else 1)
    rows = ring or PAGE_TOKENS // cache.entry_tokens
    size = rows * entry_bytes(cache)
    if is_latent(cache):
        size = -(-size // _LATENT_ALIGNMENT) * _LATENT_ALIGNMENT
    return Part(cache, member.layers, size, page_segments(cache, rows, limits.order), ring)


def _retained(window: Last, limits: Limits) -> int:
    """Tokens behind a window of w: the newest, and whole pages for prompts that share it."""
    if limits.option("radix_cache", "on") == "off":
        return 1
    return -(-window.n // PAGE_TOKENS) * PAGE_TOKENS - window.n + 1


class _Shares(Struct, frozen=True):
    """What is set apart, and what one of all tokens costs with its share of a window's."""

    window_ratio: Fraction
    fixed_bytes: int
    token_bytes: Fraction


def _shares(groups: Sequence[PlanGroup], layout: CacheLayout, limits: Limits) -> _Shares:
    ratio = Fraction(Decimal(limits.option("swa_full_tokens_ratio", _WINDOW_RATIO)))
    layers = layout.bound.config.layers if layout.bound else len(layout.layers)
    page_bytes = Fraction(0)
    fixed = 0
    for group in groups:
        for part in group.parts:
            if isinstance(group.keep, Once):
                fixed += _pool_of_rings(part)
            else:
                ours = part.page_bytes * sum(index < layers for index in part.layers)
                page_bytes += ours * (ratio if isinstance(group.keep, Last) else 1)
    if limits.speculative:  # whatever the draft model keeps, it is taken for one more layer
        page_bytes *= Fraction(layers + 1, layers)
    return _Shares(ratio, fixed, page_bytes / PAGE_TOKENS)


def _blocks(group: PlanGroup, shares: _Shares, tokens: int) -> int:
    """Blocks of a pool; the page that it gives to nobody lies beyond the memory shared out."""
    pages = tokens // PAGE_TOKENS
    if isinstance(group.keep, Once):
        return min(MOST_REQUESTS, pages * PAGE_TOKENS // 2)
    return int(pages * shares.window_ratio) if isinstance(group.keep, Last) else pages


def _pool_of_rings(part: Part) -> int:
    """Bytes of a ring for each request and for padded ones, and of what stands for no token.

    CompressStatePool: ``size + ring_size + 1`` rows, rounded up to the group.
    """
    rate = _RATES[-1]
    rows = (MOST_REQUESTS + 1) * part.ring_rows + part.ring_rows + 1
    return -(-rows // rate) * rate * entry_bytes(part.cache) * len(part.layers)
