"""No engine at all: the bare bytes that the architecture must keep."""

from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.plan import AllocationPlan, Limits


class Logical:
    """Reserves exactly what is needed."""

    name = "logical"
    summary = "no engine: the bytes that the architecture must keep, to the byte"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep what the layout says."""
        return layout

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Place nothing."""
        return None


@hookimpl
def kvprof_engines() -> list[Logical]:
    """Offer the engine ``logical``."""
    return [Logical()]
