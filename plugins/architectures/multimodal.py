"""Multimodal wrappers: a language model in a section of the config (Qwen-VL)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout


class MultimodalWrapper:
    """The language models of vision and audio models; what an encoder makes becomes tokens."""

    name = "multimodal"
    summary = "multimodal wrappers: the language model in a section of the config, GQA"
    reference = "qwen3-vl-4b"
    model_types = frozenset(
        {"qwen2_5_vl_text", "qwen2_vl_text", "qwen3_vl_moe_text", "qwen3_vl_text"}
    )

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``k`` and ``v`` of the KV heads, for text and image tokens alike."""
        return read_layout(config)


@hookimpl
def kvprof_architectures() -> list[MultimodalWrapper]:
    """Offer the architecture ``multimodal``."""
    return [MultimodalWrapper()]
