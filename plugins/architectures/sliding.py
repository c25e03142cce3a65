"""Interleaved sliding windows: most layers keep only the last tokens (Gemma 2 and 3, gpt-oss)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

_GEMMA_3 = {
    "sliding_window_pattern": 6,
    "sliding_window": 4096,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma2": {
        "sliding_window_pattern": 2,
        "sliding_window": 4096,
        "num_key_value_heads": 4,
        "head_dim": 256,
    },
    # Gemma 3 4B is published with nothing but its sizes.
    "gemma3_text": _GEMMA_3,
    "gemma3": _GEMMA_3,
    "gemma4_text": {
        "sliding_window_pattern": 6,
        "sliding_window": 512,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
    },
    "cohere2": {"sliding_window_pattern": 4, "sliding_window": 4096},
    "olmo3": {"sliding_window_pattern": 4, "sliding_window": 4096},
    "gpt_oss": {
        "num_key_value_heads": 8,
        "head_dim": 64,
        "sliding_window": 128,
        "sliding_window_pattern": 2,
    },
}
"""What the config classes fill in when a published config leaves it out."""


class SlidingWindows:
    """Decoders that mix full and windowed attention layer by layer."""

    name = "sliding"
    summary = "sliding windows: most layers keep a window, the others every token"
    reference = "gemma-3-27b"
    model_types = frozenset(
        {
            "cohere2",
            "exaone4",
            "gemma2",
            "gemma3",
            "gemma3_text",
            "gemma4_text",
            "gpt_oss",
            "mimo_v2_flash",
            "olmo3",
            "step3p5",
            "step3p7",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Full layers keep every token, windowed ones the last ``sliding_window``."""
        if config.model_type == "mimo_v2_flash":
            # Published configs say it; the library saves them without.
            config = config.with_defaults({"swa_num_key_value_heads": 2 * config.kv_heads})
        if config.model_type == "gemma4_text" and not config.has("per_layer_config"):
            # A saved config spells out what its class makes of this one.
            config = config.with_defaults({"global_head_dim": 512})
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[SlidingWindows]:
    """Offer the architecture ``sliding``."""
    return [SlidingWindows()]
