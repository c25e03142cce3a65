"""Sparse attention: an indexer chooses which latents are read (DeepSeek-V3.2, 2512.02556)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout


class SparseAttention:
    """Decoders whose layers read a few thousand rows of all, chosen by an indexer."""

    name = "sparse"
    summary = "sparse attention (DSA): an indexer key per token chooses the rows that are read"
    reference = "deepseek-v3.2"
    model_types = frozenset({"deepseek_v32", "glm_moe_dsa"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layers keep ``latent``, ``k_rope`` and, unless they share, ``index_k``."""
        config.integer("kv_lora_rank")  # without it they would be read as having no latent
        return read_layout(config)


@hookimpl
def kvprof_architectures() -> list[SparseAttention]:
    """Offer the architecture ``sparse``."""
    return [SparseAttention()]
