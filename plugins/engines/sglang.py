"""SGLang 0.5.23 on an H100: slots of tokens in pools of fixed shares.

Pools are mem_cache/memory_pool.py, their sizes model_executor/pool_configurator.py and mem_cache/
kv_cache_configurator.py, what leaves a window managers/schedule_batch.py (maybe_evict_swa).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from kvprof.plugins.engines.sglang_compressed import compressed_plan
from kvprof.plugins.engines.sglang_formats import sglang_layout
from msgspec import Struct
from msgspec.structs import replace

from kvprof.accounting import CacheGroup, cache_groups, entry_bytes
from kvprof.conventions import is_compressor, is_indexer, is_latent
from kvprof.engine_options import EngineOption
from kvprof.errors import UsageError
from kvprof.hookspecs import hookimpl
from kvprof.layout import All, Cache, CacheLayout, Chunk, Clock, Keep, Last, Once
from kvprof.page_order import page_segments
from kvprof.plan import AllocationPlan, Holding, Limits, Part, PlanGroup

WINDOW_RATIO = EngineOption(
    "swa_full_tokens_ratio", "slots of windows for each of all tokens", "0.8"
)
STATE_RATIO = EngineOption("mamba_full_memory_ratio", "memory of states to that of tokens", "0.9")
RADIX_CACHE = EngineOption("radix_cache", "prefix caching", "on", ("on", "off"))
POLICY = "slots"
SPARSE_PAGE_TOKENS = 64
_EVICTION_INTERVAL = 128
_STATE_SLOTS_OF_A_REQUEST = 3
_STATE_CHUNK_TOKENS = 64
_WINDOWED_TYPES = (
    *("llama4", "gpt_oss", "granite_swa", "granitemoe_swa", "iquest_q1", "mimo_v2", "step3p5"),
    *("step3p7", "gemma4", "diffusion_gemma", "embedding_gemma2", "laguna", "mellum"),
    *("muse_glimmer", "inkling", "unlimited_ocr", "beam"),
)
"""Families whose windows have a pool of their own (configs/model_config.py, is_hybrid_swa_model).

In all others what leaves a window stays: Gemma 2 and 3, Mistral, Cohere, OLMo 3.
"""


class Sglang:
    """Slots of one token; windows and states, where they have any, in pools of their own."""

    name = "sglang"
    summary = "SGLang 0.5: token slots; pools for windows and states in fixed shares"
    options = (WINDOW_RATIO, STATE_RATIO, RADIX_CACHE)

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep the element types that SGLang chooses."""
        return sglang_layout(layout)

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Place tokens, windows and states, each in a pool of its own."""
        found = cache_groups(layout)
        if any(is_compressor(group.cache) for group in found):
            return compressed_plan(found, layout, limits)
        if limits.speculative and any(isinstance(group.cache.keep, Once) for group in found):
            raise UsageError(
                "--speculative: kvprof does not know SGLang's buffers of states between drafted "
                "tokens",
                hint="Leave --speculative out, or try --engine vllm.",
            )
        pools = _pools(found, layout, limits)
        groups = tuple(_plan_group(pool, layout, limits) for pool in pools)
        plan = AllocationPlan(POLICY, groups, limits)
        if limits.memory_bytes is None:
            return plan
        blocks = _pool_blocks(groups, limits, limits.memory_bytes)
        sized = zip(groups, blocks, strict=True)
        return replace(plan, groups=tuple(replace(g, num_blocks=n) for g, n in sized))


class _Pool(Struct, frozen=True):
    """What shares slots: how it is held, and how many tokens are a page."""

    keep: Keep
    page_tokens: int
    members: tuple[CacheGroup, ...]


def _pools(found: Sequence[CacheGroup], layout: CacheLayout, limits: Limits) -> list[_Pool]:
    """All tokens, encoder positions, windows, states: those that there are."""
    page = _page_tokens(found, limits)
    windowed = _has_window_pool(layout)
    by_keep: dict[tuple[Keep, Clock], list[CacheGroup]] = {}
    for group in found:
        cache = group.cache
        keep = cache.keep if isinstance(cache.keep, Once) else _held_as(cache, windowed)
        by_keep.setdefault((keep, cache.clock), []).append(group)
    if page > 1 and any(isinstance(keep, Last) for keep, _ in by_keep):
        raise UsageError(
            f"--block-size {page}: kvprof counts SGLang's windows in pages of one token only",
            hint="Leave --block-size out.",
        )
    return [_Pool(keep, page, tuple(members)) for (keep, _), members in by_keep.items()]


def _held_as(cache: Cache, windowed: bool) -> Keep:
    """Windows in a pool of their own; a chunk is a window as long, the newest token not counted."""
    if not windowed:
        return All()
    match cache.keep:
        case Last(_):
            return cache.keep
        case Chunk(n):
            return Last(n + 1)
    return All()


def _has_window_pool(layout: CacheLayout) -> bool:
    if layout.bound is None:
        return True
    config = layout.bound.config
    known = (config.model_type or "").startswith(_WINDOWED_TYPES)
    return known or config.value("is_hybrid_swa") is True


def _page_tokens(found: Sequence[CacheGroup], limits: Limits) -> int:
    """One token, or what an index of fp8 keys and their scales needs (deepseek_v2.py)."""
    sparse = any(is_latent(g.cache) for g in found) and any(is_indexer(g.cache) for g in found)
    if not sparse:
        return limits.block_size or 1
    if limits.block_size not in (None, SPARSE_PAGE_TOKENS):
        raise UsageError(
            f"--block-size {limits.block_size}: sglang keeps an index of this model in pages of "
            f"{SPARSE_PAGE_TOKENS} tokens",
            hint="Leave --block-size out.",
        )
    return SPARSE_PAGE_TOKENS


def _plan_group(pool: _Pool, layout: CacheLayout, limits: Limits) -> PlanGroup:
    state = isinstance(pool.keep, Once)
    rows = 1 if state else pool.page_tokens
    first = pool.members[0].cache
    slots = 1 if RADIX_CACHE.chosen(limits) == "off" else _STATE_SLOTS_OF_A_REQUEST
    return PlanGroup(
        keep=pool.keep,
        clock=first.clock,
        entry_tokens=1,
        rows_per_block=rows,
        block_size=limits.max_model_len if state else pool.page_tokens,
        parts=tuple(
            Part(
                member.cache,
                member.layers,
                rows * entry_bytes(member.cache),
                page_segments(member.cache, rows, limits.order),
            )
            for member in pool.members
        ),
        holding=Holding(
            lookahead_tokens=limits.speculative,
            longest_tokens=limits.max_model_len,
            in_flight_tokens=_EVICTION_INTERVAL,
            window_step=_EVICTION_INTERVAL,
            planned_state_blocks=slots,
            checkpoint_tokens=_checkpoint_tokens(layout) if slots > 1 else None,
        ),
    )


def _checkpoint_tokens(layout: CacheLayout) -> int:
    """Where states are kept for prompts that share a beginning (mamba_cache_chunk_size)."""
    config = None if layout.bound is None else layout.bound.config
    if config is None or not config.has("mamba_chunk_size"):
        return _STATE_CHUNK_TOKENS
    return config.integer("mamba_chunk_size", minimum=1)


def _pool_blocks(groups: Sequence[PlanGroup], limits: Limits, memory_bytes: int) -> list[int]:
    """Blocks of each pool: states first, by their share, then tokens and windows in proportion.

    A slot of the states is set apart for padded requests; the page of the tokens that is, lies
    beyond the memory that is shared out.
    """
    states = sum(g.bytes_per_block for g in groups if isinstance(g.keep, Once))
    slots = 0
    if states:
        share = _ratio(limits, STATE_RATIO)
        budget = memory_bytes * share / (1 + share)
        slots = max(0, int(budget // states) - 1)
        memory_bytes -= (slots + 1) * states
    ratio = _ratio(limits, WINDOW_RATIO)
    full = [g for g in groups if not isinstance(g.keep, Once | Last)]
    if not full:
        ratio = Fraction(1)
    token_bytes = sum(
        Fraction(g.bytes_per_block, g.block_size) * (ratio if isinstance(g.keep, Last) else 1)
        for g in groups
        if not isinstance(g.keep, Once)
    )
    tokens = int(max(0, memory_bytes) / token_bytes) if token_bytes else 0

    def of(group: PlanGroup) -> int:
        if isinstance(group.keep, Once):
            return slots
        page = group.block_size
        aligned = tokens // page * page
        return int(aligned * ratio) // page if isinstance(group.keep, Last) else aligned // page

    return [of(group) for group in groups]


def _ratio(limits: Limits, option: EngineOption) -> Fraction:
    return Fraction(Decimal(option.chosen(limits)))


@hookimpl
def kvprof_engines() -> list[Sglang]:
    """Offer the engine ``sglang``."""
    return [Sglang()]
