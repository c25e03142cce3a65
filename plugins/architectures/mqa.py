"""Multi-query attention: all query heads share one key and value head (1911.02150)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    "gpt_bigcode": {"multi_query": True},
    "falcon": {"multi_query": True},
}
"""What the config classes fill in when a published config leaves it out."""


class MultiQueryAttention:
    """Decoders with one head of keys and values, unless the config says otherwise."""

    name = "mqa"
    summary = "multi-query attention: one K and V head for all query heads"
    reference = "starcoder"
    model_types = frozenset(
        {
            "falcon",
            "gpt_bigcode",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps one head of ``k`` and ``v``."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[MultiQueryAttention]:
    """Offer the architecture ``mqa``."""
    return [MultiQueryAttention()]
