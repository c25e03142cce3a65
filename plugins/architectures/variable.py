"""Attention that differs layer by layer, or is left out: found by a search (2411.19146)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout


class VariableAttention:
    """Llama-Nemotron: ``block_configs`` says for each layer how many heads share a KV head."""

    name = "variable"
    summary = "variable GQA: each layer has KV heads of its own number, or no attention at all"
    reference = "llama-nemotron-super-49b"
    model_types = frozenset({"nemotron-nas"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layers with attention keep ``k`` and ``v``, the others nothing."""
        if config.items("block_configs") is None:
            config.refuse("has no block_configs, which say what the attention of a layer is")
        return read_layout(config)


@hookimpl
def kvprof_architectures() -> list[VariableAttention]:
    """Offer the architecture ``variable``."""
    return [VariableAttention()]
