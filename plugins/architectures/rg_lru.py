"""RG-LRU: a gated recurrence of vectors, with local attention (Griffin, 2402.19427)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    "recurrent_gemma": {
        "conv1d_width": 4,
        "attention_window_size": 2048,
        "block_types": ["recurrent", "recurrent", "attention"],
    }
}
"""What the config classes fill in when a published config leaves it out."""


class GatedRecurrence:
    """RecurrentGemma: two of three layers keep a vector, the third a window."""

    name = "rg_lru"
    summary = "RG-LRU: a fixed vector in most layers, windowed attention in the rest"
    reference = "recurrentgemma-2b"
    model_types = frozenset({"recurrent_gemma"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Attention layers keep a window of ``k`` and ``v``, the others their recurrence."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[GatedRecurrence]:
    """Offer the architecture ``rg_lru``."""
    return [GatedRecurrence()]
