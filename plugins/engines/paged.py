"""Paged blocks: one block table and one pool for each retention (PagedAttention, SOSP'23)."""

from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.paging import DEFAULT_BLOCK_SIZE, paged_plan
from kvprof.plan import AllocationPlan, Limits


class Paged:
    """Blocks of ``--block-size`` tokens, by default 16; states in slots of their own size."""

    name = "paged"
    summary = f"blocks of --block-size tokens ({DEFAULT_BLOCK_SIZE}), a pool for each retention"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep what the layout says."""
        return layout

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Place each group of equal retention in blocks of its own pool."""
        return paged_plan(layout, limits, limits.block_size or DEFAULT_BLOCK_SIZE)


@hookimpl
def kvprof_engines() -> list[Paged]:
    """Offer the engine ``paged``."""
    return [Paged()]
