"""How many tokens vLLM puts in a block, and how it makes pages of states as large as attention's.

vLLM 0.33.0: platforms/interface.py (update_block_size_for_backend, _align_hybrid_block_size),
block sizes of v1/attention/backends on an H100.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

from kvprof.plugins.engines.vllm_formats import RECORDS
from msgspec import Struct

from kvprof.accounting import entry_bytes
from kvprof.config import ModelConfig
from kvprof.conventions import is_indexer, is_latent
from kvprof.engine_options import EngineOption
from kvprof.errors import UsageError
from kvprof.layout import All, Cache, CacheLayout, Clock, Once
from kvprof.plan import Limits

PREFIX_CACHING = EngineOption("prefix_caching", "prefix caching", "on", ("on", "off"))
DEFAULT_BLOCK_SIZE = 16
_PACKED_BLOCK_SIZE = 256
_SPARSE_BLOCK_SIZE = 128
_LATENT_BLOCK_SIZE = 64
_LATENT_ALIGNMENT = 128
_CHECKPOINT_ALIGNMENT = 64
_WIDE_HEAD_TYPES = ("gemma4", "gemma4_text", "gemma4_unified_text")
_KIMI_K3_FIELD = "linear_attn_config.use_full_rank_gate"
"""What only Kimi K3 says, whose text model calls itself ``kimi_linear`` too."""


class StatePages(Struct, frozen=True):
    """Blocks of attention and of states, once their pages match.

    ``page_bytes`` is what a state is padded to, None where nothing is; ``cached_by_prefix`` says
    whether states are kept at ends of blocks, for prompts that share a beginning.
    """

    base_block_size: int
    block_size: int
    state_block_size: int
    page_bytes: int | None = None
    cached_by_prefix: bool = False
    checkpoint_tokens: int | None = None

    @property
    def blown_up(self) -> bool:
        return self.block_size > self.base_block_size


def packs(layout: CacheLayout) -> bool:
    """Whether the model's pages lie side by side in blocks (its backends want BLHNC)."""
    return model_type(layout) in RECORDS


def model_type(layout: CacheLayout) -> str:
    """The config's word for the family, empty without one."""
    config = config_of(layout)
    return (config.model_type if config is not None else None) or ""


def config_of(layout: CacheLayout) -> ModelConfig | None:
    """The config that the layout was read from; None of one made by hand."""
    return None if layout.bound is None else layout.bound.config


def checkpoint_blocks(cache: Cache, layout: CacheLayout) -> int:
    """Blocks planned for a state saved inside a prefill (get_kv_cache_spec of its layer)."""
    if cache.key == "kda":  # models/kimi_k3 and glm5next export states; Kimi Linear does not
        config = config_of(layout)
        if config is None or config.model_type != "kimi_linear":
            return 1
        return int(bool(config.value(_KIMI_K3_FIELD)))
    if cache.key == "gated_delta_net":
        return int(model_type(layout) != "olmo_hybrid")
    return int(cache.key == "mamba2")


def state_pages(layout: CacheLayout, caches: Sequence[Cache], limits: Limits) -> StatePages:
    """The block sizes of a model.

    Raises
    ------
    UsageError
        When ``--block-size`` is not what the model's kernels take.
    """
    base = _base_block_size(layout, caches, limits)
    states = [cache for cache in caches if isinstance(cache.keep, Once)]
    attention = [cache for cache in caches if not isinstance(cache.keep, Once)]
    by_prefix = PREFIX_CACHING.chosen(limits) == "on"
    if not states or not attention:
        checkpoints = base if by_prefix else None
        return StatePages(base, base, limits.max_model_len, checkpoint_tokens=checkpoints)
    alignment = max(_kernel_block_size(layout, caches), base)
    if any(map(is_latent, attention)):
        alignment = max(alignment, _LATENT_ALIGNMENT)
    if by_prefix and all(_exports_at_multiples(cache, layout) for cache in states):
        alignment = lcm(alignment, _CHECKPOINT_ALIGNMENT)
    token_bytes = _token_bytes(attention)
    state_bytes = max(map(entry_bytes, states))
    block_size = max(base, alignment * -(-state_bytes // (alignment * token_bytes)))
    return StatePages(
        base,
        block_size,
        block_size if by_prefix else limits.max_model_len,
        block_size * token_bytes,
        by_prefix,
        block_size if by_prefix else None,
    )


def _base_block_size(layout: CacheLayout, caches: Sequence[Cache], limits: Limits) -> int:
    smallest = _kernel_block_size(layout, caches)
    asked = limits.block_size
    if asked is None:
        return smallest
    if asked % smallest:
        raise UsageError(
            f"--block-size {asked}: vllm's kernels for this model take multiples of {smallest}",
            hint=f"Try {max(1, asked // smallest) * smallest}.",
        )
    return asked


def _kernel_block_size(layout: CacheLayout, caches: Sequence[Cache]) -> int:
    """The fewest tokens of a block that all the model's attention backends take."""
    latents = [cache for cache in caches if is_latent(cache)]
    indexed = any(map(is_indexer, caches))
    if packs(layout):
        return _PACKED_BLOCK_SIZE
    if latents:
        eight_bits = any(field.dtype == "fp8_e4m3" for cache in latents for field in cache.fields)
        return _LATENT_BLOCK_SIZE if indexed or eight_bits else DEFAULT_BLOCK_SIZE
    if indexed:
        return _SPARSE_BLOCK_SIZE
    heads = {field.dims[-1] for cache in caches for field in cache.fields if field.name == "k"}
    eight_bits = any(f.dtype == "fp8_e4m3" for cache in caches for f in cache.fields)
    if model_type(layout) in _WIDE_HEAD_TYPES and eight_bits and len(heads) > 1:
        return _LATENT_BLOCK_SIZE  # FlashAttention 4 on Hopper
    return DEFAULT_BLOCK_SIZE


def _exports_at_multiples(cache: Cache, layout: CacheLayout) -> bool:
    """Whether a layer saves states inside a prefill at multiples of 64 tokens (FlashInfer's)."""
    return cache.key == "gated_delta_net" and checkpoint_blocks(cache, layout) == 1


def _token_bytes(attention: Sequence[Cache]) -> int:
    """Bytes of a token in a layer of the model's main attention."""
    main = [cache for cache in attention if not is_indexer(cache)] or attention
    full = [c for c in main if isinstance(c.keep, All) and c.clock is Clock.DECODER]
    return max(map(entry_bytes, full or main))
