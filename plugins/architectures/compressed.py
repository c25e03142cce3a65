"""Compressed attention: one entry for several tokens, and a window of all (DeepSeek V4)."""

from typing import Any

from kvprof.bounds import bounded
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import (
    compressing_layer,
    compressor_caches,
    indexer_cache,
    latent_cache,
    layer,
)
from kvprof.layout import CacheLayout, Last, Layer

DEFAULTS: dict[str, Any] = {
    "num_attention_heads": 64,
    "head_dim": 512,
    "qk_rope_head_dim": 64,
    "sliding_window": 128,
    "index_head_dim": 128,
    "index_topk": 512,
}
"""What the config class fills in when a published config leaves it out."""

RATES = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
SPARSE_RATE = 4
"""Groups of this many tokens overlap, and an indexer chooses among their entries (vLLM)."""


class CompressedAttention:
    """Layers that keep a window of every token and, of all tokens, one entry for each group."""

    name = "compressed"
    summary = "compressed attention: an entry per 4 or 128 tokens, tails, and a window of all"
    reference = "deepseek-v4-flash"
    model_types = frozenset({"deepseek_v4"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Layers by ``compress_ratios``, which names those of the draft model last."""
        config = config.with_defaults(DEFAULTS)
        layers = config.layers
        rates = _rates(config, layers)
        built = tuple(_layer(config, index, rate) for index, rate in enumerate(rates))
        return bounded(config, CacheLayout(built[:layers], config.heads, draft=built[layers:]))


def _rates(config: ModelConfig, layers: int) -> list[int]:
    """Tokens for each entry, layer by layer, 1 where nothing is compressed."""
    if (words := config.items("layer_types")) is not None:
        by_kind = {
            kind: config.integer(f"compress_rates.{kind}", default=rate)
            for kind, rate in RATES.items()
        } | {"sliding_attention": 1}
        if unknown := [word for word in words if str(word) not in by_kind]:
            config.refuse(
                f"layer_types names {str(unknown[0])[:40]!r}; known: {', '.join(by_kind)}"
            )
        rates = [by_kind[str(word)] for word in words]
    elif (ratios := config.items("compress_ratios")) is not None:
        rates = [
            max(1, config.whole_number(f"compress_ratios[{index}]", ratio, minimum=0))
            for index, ratio in enumerate(ratios)
        ]
    else:
        config.refuse("has neither compress_ratios nor layer_types")
    drafted = config.integer("num_nextn_predict_layers", default=0, minimum=0)
    if not layers <= len(rates) <= layers + drafted:
        config.refuse(
            f"it says how {len(rates)} layers compress; there are {layers} and {drafted} to draft"
        )
    return rates


def _layer(config: ModelConfig, index: int, rate: int) -> Layer:
    """One layer: its window, and what its compressor and its indexer keep."""
    rope = config.integer("qk_rope_head_dim")
    dim = config.integer("head_dim")
    if dim <= rope:
        config.refuse(f"head_dim {dim} must be more than qk_rope_head_dim {rope}, a part of it")
    window = Last(config.integer("sliding_window"))
    near = latent_cache(dim - rope, rope, window, key="sliding_latent")
    if rate == 1:
        return layer(index, near)
    far = latent_cache(dim - rope, rope, entry_tokens=rate, key="compressed_latent")
    if rate != SPARSE_RATE:
        tail = compressor_caches("compressor", dim, rate, overlapping=False)
        return compressing_layer(layer(index, near, far), *tail)
    index_dim, topk = config.integer("index_head_dim"), config.integer("index_topk")
    indexer = indexer_cache(index_dim, entry_tokens=rate)
    return compressing_layer(
        layer(index, near, far, indexer, topk=topk),
        *compressor_caches("compressor", dim, rate, overlapping=True),
        *compressor_caches("indexer", index_dim, rate, overlapping=True),
    )


@hookimpl
def kvprof_architectures() -> list[CompressedAttention]:
    """Offer the architecture ``compressed``."""
    return [CompressedAttention()]
