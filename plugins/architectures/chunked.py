"""Chunked attention: most layers start anew every few thousand tokens (Llama 4)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {"llama4_text": {"num_key_value_heads": 8, "head_dim": 128}}
"""What the config classes fill in when a published config leaves it out."""


class ChunkedAttention:
    """Decoders that mix full and chunked attention layer by layer."""

    name = "chunked"
    summary = "chunked attention: most layers keep the current chunk, the others every token"
    reference = "llama-4-scout"
    model_types = frozenset({"llama4", "llama4_text"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Full layers keep every token, chunked ones those since the last multiple."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[ChunkedAttention]:
    """Offer the architecture ``chunked``."""
    return [ChunkedAttention()]
