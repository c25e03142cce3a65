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
_F, _S = "full_attention", "sliding_attention"


def _cycled(cycle: list[str], window: int, kv_heads: int = 0, head_dim: int = 0) -> dict[str, Any]:
    """Defaults of a class that repeats kinds of layers where a config does not name them."""
    sizes = {"num_key_value_heads": kv_heads, "head_dim": head_dim}
    given = {name: size for name, size in sizes.items() if size}
    return {"layer_types_cycle": cycle, "sliding_window": window, **given}


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
    "cwm": _cycled([_F, _S, _S, _S], 8192, 8, 128),
    "granite_swa": _cycled([_F, _S, _S, _S], 128, 4),
    "granitemoe_swa": _cycled([_F, _S, _S, _S], 128),
    "kolibri1": _cycled([_S, _S, _S, _S, _F], 513, 4, 128),
    "modernbert-decoder": _cycled([_F, _S, _S], 64),
    "muse_glimmer_text": _cycled([_S, _S, _S, _F], 2048, 2, 128),
    "muse_spark_text": _cycled([_S, _F, _S, _S], 2048, 16, 64),
    "t5_gemma_module": _cycled([_S, _F], 4096, 4, 256),
    "t5gemma2_decoder": _cycled([_S] * 5 + [_F], 4096, 4, 256),
    "vaultgemma": _cycled([_S, _F], 4096, 4, 256),
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
            "cwm",
            "exaone4",
            "gemma2",
            "gemma3",
            "gemma3_text",
            "gemma4_text",
            "gpt_oss",
            "granite_swa",
            "granitemoe_swa",
            "kolibri1",
            "mimo_v2_flash",
            "modernbert-decoder",
            "muse_glimmer_text",
            "muse_spark_text",
            "olmo3",
            "step3p5",
            "step3p7",
            "t5_gemma_module",
            "t5gemma2_decoder",
            "vaultgemma",
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
