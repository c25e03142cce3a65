"""vLLM 0.33.0 on an H100: layers in groups that share one pool of block ids.

Block sizes are v1/attention/backends and platforms/interface.py, groups v1/core/
kv_cache_planning.py, blocks of a request v1/kv_cache_interface.py (planned) and v1/core/
single_type_kv_cache_manager.py (held).
"""

from __future__ import annotations

from collections.abc import Iterator

from kvprof.plugins.engines.vllm_blocks import (
    PREFIX_CACHING,
    StatePages,
    checkpoint_blocks,
    config_of,
    packs,
    state_pages,
)
from kvprof.plugins.engines.vllm_formats import vllm_layout, with_spare_columns

from kvprof.accounting import entry_bytes
from kvprof.conventions import is_compressor, is_indexer, is_latent, overlaps
from kvprof.engine_options import EngineOption
from kvprof.errors import UsageError
from kvprof.hookspecs import hookimpl
from kvprof.layer_pages import LayerPage, PageGroup, group_pages, promoted_pages, single_group
from kvprof.layout import Cache, CacheLayout, Last, Once
from kvprof.packed_pages import packed_groups
from kvprof.plan import AllocationPlan, Holding, Limits
from kvprof.shared_pool import shared_plan

ASYNC_SCHEDULING = EngineOption(
    "async_scheduling", "two steps in flight at once", "on", ("on", "off")
)
HYBRID_MANAGER = EngineOption(
    "hybrid_manager", "windows free what leaves them", "on", ("on", "off")
)
DEFAULT_BATCHED_TOKENS = 8192
_PACKED_ALIGNMENT = 576


class Vllm:
    """Blocks of 16 tokens, or what the model's kernels take; states in pages like attention's."""

    name = "vllm"
    summary = "vLLM 0.33: groups of layers over one pool of blocks, states padded to a page"
    options = (PREFIX_CACHING, ASYNC_SCHEDULING, HYBRID_MANAGER)

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep the element types that vLLM chooses."""
        return vllm_layout(layout)

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Group the layers and place them in one pool."""
        caches = list(_in_order(layout, limits.speculative))
        states = state_pages(layout, [cache for _, cache in caches], limits)
        pages = [_page(index, cache, states, layout) for index, cache in caches]
        return shared_plan(
            _groups(pages, layout, limits),
            limits,
            holding=lambda cache: _holding(cache, layout, limits, states),
            base_block_size=states.base_block_size if states.blown_up else None,
        )


def _in_order(layout: CacheLayout, speculative: int) -> Iterator[tuple[int, Cache]]:
    """Caches in the order in which vLLM builds their modules.

    In a layer: its indexer, windows, other attention, compressors. Where a layer has attention and
    a state side by side (Falcon-H1, Zamba2), all attention comes before all states.
    """
    caches = [
        (layer.index, with_spare_columns(cache, speculative))
        for layer in layout.layers
        for cache in sorted(layer.owns, key=_rank)
    ]
    beside = any(len({isinstance(c.keep, Once) for c in layer.owns}) > 1 for layer in layout.layers)
    if beside:
        caches.sort(key=lambda each: isinstance(each[1].keep, Once))
    return iter(caches)


def _rank(cache: Cache) -> tuple[bool, bool, bool]:
    compressor = is_compressor(cache)
    return not cache.key.startswith("index"), compressor, not isinstance(cache.keep, Last)


def _page(index: int, cache: Cache, states: StatePages, layout: CacheLayout) -> LayerPage:
    if isinstance(cache.keep, Once):
        size = states.page_bytes or entry_bytes(cache)
        return LayerPage(index, cache, cache.keep, states.state_block_size, size)
    by_row = is_latent(cache) or is_indexer(cache)
    block_size = states.block_size
    alignment = 1
    if packs(layout):
        block_size, alignment = _packed_block_size(cache, block_size), _PACKED_ALIGNMENT
    size = max(1, block_size // cache.entry_tokens) * entry_bytes(cache)
    size = -(-size // alignment) * alignment
    return LayerPage(index, cache, cache.keep, block_size, size, indexed_by_row=by_row)


def _packed_block_size(cache: Cache, block_size: int) -> int:
    """DeepSeek V4 (models/deepseek_v4/{attention,compressor}.py)."""
    if is_compressor(cache):
        return 4 if overlaps(cache) else 8
    return 64 if isinstance(cache.keep, Last) else block_size


def _groups(pages: list[LayerPage], layout: CacheLayout, limits: Limits) -> tuple[PageGroup, ...]:
    if HYBRID_MANAGER.chosen(limits) == "off":
        single = single_group(promoted_pages(pages))
        if single is None:
            raise UsageError(
                "--engine-option vllm.hybrid_manager=off: vllm cannot hold this model's layers as "
                "one kind without it, and would not start",
                hint="Leave the setting out.",
            )
        return single
    if packs(layout) and single_group(pages) is None:
        return packed_groups(pages)
    return group_pages(pages)


def _holding(cache: Cache, layout: CacheLayout, limits: Limits, states: StatePages) -> Holding:
    steps = 1 if ASYNC_SCHEDULING.chosen(limits) == "off" else 2
    planned = 1 + limits.speculative
    if states.cached_by_prefix:
        planned += 1 + checkpoint_blocks(cache, layout)
    return Holding(
        lookahead_tokens=limits.speculative,
        longest_tokens=limits.max_model_len,
        in_flight_tokens=steps * (limits.max_batched_tokens or DEFAULT_BATCHED_TOKENS),
        retained_tokens=_retained(layout, limits.speculative),
        state_blocks=1 + limits.speculative,
        planned_state_blocks=planned,
        checkpoint_tokens=states.checkpoint_tokens,
    )


def _retained(layout: CacheLayout, speculative: int) -> int:
    """Tokens kept behind a window for several draft layers that run one after the other.

    config/vllm.py, num_prefill_lookahead_tokens.
    """
    config = config_of(layout)
    if config is None or not config.has("num_nextn_predict_layers"):
        return 0
    layers = config.integer("num_nextn_predict_layers", minimum=0)
    return speculative - 1 if min(layers, speculative) > 1 else 0


@hookimpl
def kvprof_engines() -> list[Vllm]:
    """Offer the engine ``vllm``."""
    return [Vllm()]
