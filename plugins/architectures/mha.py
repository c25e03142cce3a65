"""Multi-head attention: a key and a value for every query head (1706.03762)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout


class MultiHeadAttention:
    """Decoders whose every head keeps its own keys and values."""

    name = "mha"
    summary = "multi-head attention: K and V for every head, every token kept"
    reference = "gpt2-xl"
    model_types = frozenset(
        {
            "biogpt",
            "bloom",
            "codegen",
            "ctrl",
            "gpt2",
            "gpt_neox",
            "gpt_neox_japanese",
            "gptj",
            "gradium_phonon_tts",
            "mpt",
            "olmo",
            "opt",
            "persimmon",
            "phi",
            "pocket_tts",
            "stablelm",
            "xglm",
        }
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``k`` and ``v`` of all heads."""
        return read_layout(config)


@hookimpl
def kvprof_architectures() -> list[MultiHeadAttention]:
    """Offer the architecture ``mha``."""
    return [MultiHeadAttention()]
