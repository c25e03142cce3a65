"""Interleaved sliding windows: most layers keep only the last tokens (Gemma 2 and 3, gpt-oss)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS = {
    "gemma2": {"sliding_window_pattern": 2, "sliding_window": 4096},
    "gemma3_text": {"sliding_window_pattern": 6, "sliding_window": 4096, "head_dim": 256},
    "gemma3": {"sliding_window_pattern": 6, "sliding_window": 4096, "head_dim": 256},
    "gemma3n_text": {"num_kv_shared_layers": 15, "head_dim": 256},
    "cohere2": {"sliding_window_pattern": 4, "sliding_window": 4096},
    "olmo3": {"sliding_window_pattern": 4, "sliding_window": 4096},
    "gpt_oss": {"head_dim": 64, "sliding_window": 128, "sliding_window_pattern": 2},
}
"""What the config classes fill in when a published config leaves it out."""


class SlidingWindows:
    """Decoders that mix full and windowed (or chunked) attention layer by layer."""

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
            "gemma3n_text",
            "gemma4_text",
            "gpt_oss",
            "llama4",
            "llama4_text",
            "mimo_v2_flash",
            "olmo3",
            "step3p5",
            "step3p7",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Full layers keep every token, windowed ones the last ``sliding_window``."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[SlidingWindows]:
    """Offer the architecture ``sliding``."""
    return [SlidingWindows()]
