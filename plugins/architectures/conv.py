"""Gated short convolutions in most layers, attention in the others (LFM2, 2511.23404)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {"lfm2": {"conv_L_cache": 3, "num_key_value_heads": 8}}
"""What the config classes fill in when a published config leaves it out."""


class ShortConvolutions:
    """LFM2: layers that keep nothing but the window of a convolution."""

    name = "conv"
    summary = "short convolutions: the last two inputs in most layers, attention in the rest"
    reference = "lfm2-1.2b"
    model_types = frozenset({"lfm2", "lfm2_moe"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Attention layers keep ``k`` and ``v``, the others ``conv_state``."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[ShortConvolutions]:
    """Offer the architecture ``conv``."""
    return [ShortConvolutions()]
