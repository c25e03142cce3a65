"""Contiguous reservation as Orca (OSDI'22) does it: one run of memory for each request.

PagedAttention (SOSP'23, section 6.1) compares with three: the longest sequence is reserved, the
output rounded up to a power of two, or exactly what will be used; runs are found by a buddy
allocator.
"""

from __future__ import annotations

from typing import Literal

from kvprof.allocation import Reserve
from kvprof.engine_options import EngineOption
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.plan import AllocationPlan, Limits

_WORDS = {
    "max": "the longest sequence",
    "pow2": "the prompt and the output rounded up to a power of two",
    "oracle": "exactly the tokens that there will be",
}


class Orca:
    """One contiguous run a sequence, set aside when it is admitted."""

    def __init__(self, tokens: Literal["max", "pow2", "oracle"]) -> None:
        self.tokens = tokens
        self.name = f"orca-{tokens}"
        self.summary = f"one contiguous run for {_WORDS[tokens]}, set aside on admission"
        self.options = (
            EngineOption("fit", "how a free run is found", "buddy", ("buddy", "first_fit")),
        )

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep what the layout says."""
        return layout

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Place nothing: what is set aside depends on a request, which a replay knows."""
        return None

    def allocation(self, layout: CacheLayout, limits: Limits) -> Reserve:
        """Reserve by request."""
        first_fit = limits.option("fit", "buddy") == "first_fit"
        return Reserve(self.tokens, "first_fit" if first_fit else "buddy")


@hookimpl
def kvprof_engines() -> list[Orca]:
    """Offer the engines ``orca-max``, ``orca-pow2`` and ``orca-oracle``."""
    return [Orca("max"), Orca("pow2"), Orca("oracle")]
