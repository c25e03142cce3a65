"""A third party's reading of ``llama``, and its own engine named ``paged``."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import attention_cache, layer
from kvprof.layout import CacheLayout
from kvprof.paging import paged_plan
from kvprof.plan import AllocationPlan, Limits


class Rival:
    """Llama, said to keep one head."""

    name = "rival"
    summary = "llama, read by a third party"
    reference = "llama-3-8b"
    model_types = ("llama",)

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps one head."""
        cache = attention_cache(1, config.head_dim)
        return CacheLayout(tuple(layer(i, cache) for i in range(config.layers)), config.heads)


class Blocks128:
    """Blocks of 128 tokens, whatever was asked for."""

    name = "paged"
    summary = "blocks of 128 tokens"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep what the layout says."""
        return layout

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan:
        """Place it in blocks of 128 tokens."""
        return paged_plan(layout, limits, block_size=128)


@hookimpl
def kvprof_architectures() -> list[Rival]:
    """Offer the architecture ``rival``."""
    return [Rival()]


@hookimpl
def kvprof_engines() -> list[Blocks128]:
    """Offer the engine ``paged``."""
    return [Blocks128()]
