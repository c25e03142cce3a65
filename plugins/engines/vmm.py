"""vAttention (ASPLOS'25): tensors contiguous in virtual memory, physical pages mapped on demand."""

from __future__ import annotations

from kvprof.allocation import Pages
from kvprof.engine_options import EngineOption
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.plan import AllocationPlan, Limits

_KIB = 1024
PAGE_SIZES = ("64KiB", "128KiB", "256KiB", "512KiB", "1MiB", "2MiB")
"""The driver maps 2 MiB; smaller pages need a driver of one's own, and are simulation."""


class Vmm:
    """Each tensor of each layer of a sequence holds whole physical pages."""

    name = "vmm"
    summary = "virtual contiguity: each tensor of each layer in physical pages, by default of 2 MiB"
    options = (EngineOption("page", "bytes of a page; below 2 MiB simulated", "2MiB", PAGE_SIZES),)

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep what the layout says."""
        return layout

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Place nothing in blocks."""
        return None

    def allocation(self, layout: CacheLayout, limits: Limits) -> Pages:
        """Pages of the size that was chosen."""
        page = limits.option("page", "2MiB")
        unit = _KIB if page.endswith("KiB") else _KIB**2
        return Pages(int(page[:-3]) * unit)


@hookimpl
def kvprof_engines() -> list[Vmm]:
    """Offer the engine ``vmm``."""
    return [Vmm()]
