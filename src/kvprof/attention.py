"""The fields of one layer in, the caches of its attention out."""

from __future__ import annotations

from kvprof.config import ModelConfig
from kvprof.layers import (
    attention_cache,
    cross_attention_cache,
    hidden_cache,
    indexer_cache,
    indexer_tail_cache,
    latent_cache,
)
from kvprof.layout import All, Cache, Chunk, Keep, Last

_DEFAULT_TOPK = 2048


def full_attention(config: ModelConfig) -> Cache:
    """Keys and values of every token, or the latent that stands for them."""
    if config.has("kv_lora_rank"):
        return _latent(config, All())
    k_is_v = config.flag("attention_k_eq_v", default=False)
    return attention_cache(
        # Gemma 4 gives its full layers KV heads of their own only where K is V.
        _kv_heads(config, "num_global_key_value_heads") if k_is_v else config.kv_heads,
        _head_dim(config, "global_head_dim"),
        v_head_dim=_optional(config, "v_head_dim"),
        k_is_v=k_is_v,
    )


def sliding_attention(config: ModelConfig) -> Cache:
    """The last tokens, in as many heads of such sizes as windowed layers have."""
    return _bounded(config, Last(config.integer("window", "window_size")))


def chunked_attention(config: ModelConfig) -> Cache:
    """The tokens of the chunk that is being written."""
    return _bounded(config, Chunk(config.integer("attention_chunk_size")))


def cross_attention(config: ModelConfig) -> Cache:
    """Keys and values of the encoder's positions."""
    return cross_attention_cache(
        _kv_heads(config, "cross_kv_heads"), _head_dim(config, "cross_head_dim")
    )


def indexer(config: ModelConfig) -> Cache:
    """The keys by which sparse attention chooses what it reads."""
    return indexer_cache(
        config.integer("index_head_dim"), entry_tokens=config.integer("index_kpool", default=1)
    )


def indexer_tail(config: ModelConfig) -> Cache:
    """The keys and gates of the tokens that are not yet pooled (GLM-5.3)."""
    return indexer_tail_cache(config.integer("index_head_dim"), config.integer("index_kpool"))


def index_topk(config: ModelConfig) -> int:
    """How many rows sparse attention reads, given in tokens or in blocks."""
    if config.has("index_topk_blocks"):
        return config.integer("index_topk_blocks") * config.integer("index_block_size", default=1)
    return config.integer("index_topk", "indexer_budget", default=_DEFAULT_TOPK)


def hashed_attention(config: ModelConfig) -> Cache:
    """Reformer keeps hidden states, and the buckets of each head's hashes."""
    return hidden_cache(config.hidden, config.heads * config.integer("num_hashes", default=1))


def local_attention(config: ModelConfig) -> Cache:
    """Reformer's local layers keep hidden states alone."""
    return hidden_cache(config.hidden)


def memory(config: ModelConfig) -> Cache:
    """Transformer-XL's memory: the hidden states of the last tokens."""
    return hidden_cache(config.hidden, keep=Last(config.integer("mem_len")))


def _latent(config: ModelConfig, keep: Keep) -> Cache:
    return latent_cache(
        config.integer("kv_lora_rank"), config.integer("qk_rope_head_dim", minimum=0), keep
    )


def _bounded(config: ModelConfig, keep: Keep) -> Cache:
    if config.has("kv_lora_rank"):
        return _latent(config, keep)
    return attention_cache(
        _kv_heads(config, "swa_num_key_value_heads"),
        _head_dim(config, "swa_head_dim"),
        v_head_dim=_optional(config, "swa_v_head_dim", "v_head_dim"),
        keep=keep,
    )


def _kv_heads(config: ModelConfig, name: str) -> int:
    """KV heads of a kind of layer that may have its own number of them."""
    return config.integer(name) if config.has(name) else config.kv_heads


def _head_dim(config: ModelConfig, name: str) -> int:
    return config.integer(name) if config.has(name) else config.head_dim


def _optional(config: ModelConfig, *names: str) -> int | None:
    return config.integer(*names) if config.has(*names) else None
