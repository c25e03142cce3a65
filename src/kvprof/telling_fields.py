"""A config and the fields that were read of it in, a field that tells more out.

A config that no plugin claims is read by its fields alone. A field that was not read, but whose
name speaks of what is kept (a window, heads of keys, a state), may change the answer: who reads
such a config must know every one of them, or leave it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kvprof.config import ModelConfig
from kvprof.spellings import SPELLINGS


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_TELLING = words(
    "attention attentions attn cache chunk chunked chunks cla compress compressed compression "
    "compressor conv convolution convs cross delta every global gqa groups head headdim heads "
    "hybrid interval k kda key keys kv latent latents linear local lru mamba mem memory mix "
    "mixer mixers mqa pattern period qk rank recurrence recurrent retention rnn rwkv self share "
    "shared sharing sink sinks sliding ssm state states swa v value values window windows yoco"
)
"""Words of which one in a field's name says that it may decide what is kept."""

_LAYER_WORDS = words("blocks layer layers pattern types")
"""Words of fields that name layers, where the value is a list or text."""

_HARMLESS_WORDS = words(
    "act activation adapter alibi aligner alpha audio beam beams bias bidirectional cap capping "
    "clamp codec coef dense depth drop dropout dropped dtype eff efficient embd embedding "
    "embeddings encoder entropy eps epsilon exclude expert experts ffn flash flow fp16 fp32 gate "
    "gated id id2label ids ignore image impl implementation init initializer input intermediate "
    "kernels label2id layerdrop layernorm lm ln logit logits logn loss mask masked mid mlp moe "
    "mtp multiplier multipliers ngram norm output pad parallel pdrop pos position positions prob "
    "probs projector prune pruned quantization relative res resampler rope rotary router scale "
    "scaled scaling softcap softcapping softmax speaker speech std t2u temperature theta tie "
    "tied token tokenizer top upcast version video vision visual vocab vq yarn"
)
"""Words of fields that say how something is computed, or speak of another part of the model."""

_HARMLESS_NAMES = frozenset(
    {
        "add_cross_attention",  # without an encoder nothing is kept of one
        "cache_dir",
        "cross_hidden_size",
        "cross_num_attention_heads",
        "dt_rank",
        "global_batch_size",
        "index_n_heads",
        "indexer_n_heads",
        "local_rank",
        "max_window_layers",
        "pretraining_tp",
        "pruned_heads",
        "qk_l2_clip_threshold",
        "q_lora_rank",
        "swa_num_attention_heads",
        "time_step_rank",
        "use_cache",
    }
)

_HARMLESS_VALUES = frozenset(
    {
        "bi",
        "block_sparse",
        "dot_product",
        "eager",
        "full",
        "full_attention",
        "mha",
        "multihead_attention",
        "original_full",
        "sdpa",
        "softmax",
    }
)
"""Words for attention whose keys and values are all kept (BigBird's blocks are the encoder's)."""

_ENCODERS = (
    "conv_channels conv_depthwise_kernel_size conv_dim conv_kernel conv_kernel_sizes conv_stride "
    "num_conv_layers"
)
_WINDOWS = (
    "sliding_window sliding_window_size sliding_window_pattern global_attn_every_n_layers "
    "prefix_dense_sliding_window_pattern full_attention_interval attn_layer_indices "
    "attn_layer_offset attn_layer_period attn_type_list index_block_size index_head_dim "
    "index_local_blocks hybrid_override_pattern hybrid_layer_pattern"
)

_ANSWERED = {
    **dict.fromkeys(SPELLINGS["d_state"], "chunk_size mamba_chunk_size"),
    "kv_lora_rank": "head_dim num_key_value_heads qk_head_dim qk_nope_head_dim v_head_dim",
    "layer_types": _WINDOWS,
    "layers_block_type": _WINDOWS,
    "attention_types": "attention_layers",
    "mem_len": "attn_type d_head n_head",
    "attn_layers": "attention_head_size local_attn_chunk_length local_num_chunks_before "
    "lsh_attn_chunk_length lsh_num_chunks_before",
    "num_kv_heads": "num_gqa_groups",
    "num_global_key_value_heads": "num_key_value_heads",
    "global_head_dim": "head_dim",
    "swa_num_key_value_heads": "num_key_value_heads",
    "swa_head_dim": "head_dim",
    "swa_v_head_dim": "v_head_dim",
    "multi_query_group_num": "multi_query_attention",
    "num_key_value_heads": "num_attention_heads_per_layer",
    "linear_num_key_heads": "linear_a_log_max linear_allow_neg_eigval linear_dt_init_floor "
    "linear_dt_max linear_dt_min",
    "linear_num_heads": "linear_lower_bound",
    "rel_extent": "number_of_conv_states",
    "indexer_head_dim": "indexer_compress_ratio indexer_kv_heads number_of_conv_states "
    "ple_conv_kernel_size",
    "is_encoder_decoder": _ENCODERS,
}
"""A field that was read, and those that add nothing to it."""


def unread_telling(config: ModelConfig, read: Collection[str]) -> str | None:
    """The first field that was not read and may change what is kept; None when all is known.

    Null, false, 0 and what is empty say nothing.
    """
    return next(
        (
            name
            for name, value in _leaves(config.fields, read)
            if name not in read
            and _telling(name, value)
            and not _answered(name, value, config, read)
        ),
        None,
    )


def _leaves(
    fields: Mapping[str, Any], read: Collection[str], within: str = ""
) -> Iterator[tuple[str, Any]]:
    """Fields with a value; those of objects that were not read as a whole, after a dot."""
    for key, value in fields.items():
        name = f"{within}{key}"
        if isinstance(value, Mapping):
            if name not in read and not _HARMLESS_WORDS & _words_of(str(key)):
                yield from _leaves(value, read, f"{name}.")
        elif value:
            yield name, value


def _words_of(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return set(re.split(r"[^a-z0-9]+", spaced.lower()))


def _telling(name: str, value: Any) -> bool:
    found = _words_of(name)
    if found & _HARMLESS_WORDS or name in _HARMLESS_NAMES:
        return False
    if isinstance(value, str) and value.lower() in _HARMLESS_VALUES:
        return False
    if name == "layer_group_size" or (found & _LAYER_WORDS and isinstance(value, list | str)):
        return True
    return not found.isdisjoint(_TELLING)


def _answered(name: str, value: Any, config: ModelConfig, read: Collection[str]) -> bool:
    """Whether a field that was read has said it already: the same meaning, or one above it."""
    if any(
        of in read and config.fields.get(of) and name in names.split()
        for of, names in _ANSWERED.items()
    ):
        return True
    return any(
        other in read and config.value(other) == value
        for names in SPELLINGS.values()
        if name in names
        for other in names
    )
