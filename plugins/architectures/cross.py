"""Cross attention: layers that also read what an encoder made (1706.03762)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    "mllama_text_model": {
        "num_key_value_heads": 8,
        "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
    },
}
"""What the config classes fill in when a published config leaves it out."""

_DECODERS_WITHIN = frozenset({"mllama_text_model"})
"""Language models whose encoder stands beside them in a larger config."""


class CrossAttention:
    """The decoders of encoder-decoders, and of models that read images by cross attention."""

    name = "cross"
    summary = "cross attention: keys and values of an encoder's positions beside the decoder's own"
    reference = "whisper-tiny"
    model_types = frozenset(
        {
            "bart",
            "blenderbot",
            "m2m_100",
            "marian",
            "mbart",
            "mllama_text_model",
            "mt5",
            "pegasus",
            "plbart",
            "t5",
            "umt5",
            "whisper",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layers keep ``k`` and ``v`` of their own, and once those of every encoder position.

        Config classes of encoder-decoders say that they are some unless told otherwise.
        """
        defaults = dict(DEFAULTS.get(config.model_type or "", {}))
        if config.model_type not in _DECODERS_WITHIN:
            defaults["is_encoder_decoder"] = True
        return read_layout(config.with_defaults(defaults))


@hookimpl
def kvprof_architectures() -> list[CrossAttention]:
    """Offer the architecture ``cross``."""
    return [CrossAttention()]
