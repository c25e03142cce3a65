"""A `ModelConfig` in, the kind of each of its layers out: ``full``, ``sliding``, ``mamba``, ...

Published configs spell it in a dozen ways; the first rule that finds its field decides.
"""

from __future__ import annotations

from kvprof.config import ModelConfig
from kvprof.layer_words import (
    Kinds,
    attention_types,
    block_types,
    cycles,
    hashed_types,
    parts_of,
    word_lists,
)
from kvprof.spellings import SPELLINGS

STATE_FIELDS = {
    "linear": ("linear_num_key_heads",),
    "kda": ("kda_heads",),
    "mamba": ("d_state",),
    "recurrent": ("lru_width",),
    "cca": ("cca_time0",),
    "lightning": (
        "attn_type_list",
        "linear_attn_alpha_factor",
        "layernorm_linear_attention_alpha",
    ),
    "short_convolutions": ("rel_extent",),
    "conv": ("conv_L_cache",),
}
"""The state that a ``state`` layer keeps, and the field by which it is known."""

ONLY_FIELDS = {
    "mamba": SPELLINGS["d_state"],
    "linear": ("linear_num_key_heads",),
    "kda": ("linear_num_heads",),
    "recurrent": ("lru_width",),
    "cca": ("cca_time0",),
    "short_convolutions": ("rel_extent",),
    "conv": ("conv_L_cache",),
    "lightning": ("attn_type_list",),
    "compressed": ("compress_ratios",),
}
"""Fields that only one kind has: a config with one and no such layer is not understood."""


def layer_kinds(config: ModelConfig) -> Kinds:
    """The kind of every layer, in model order.

    Raises
    ------
    ConfigError
        When fields disagree, name an unknown kind, or say something that cannot be read.
    """
    for rule in _RULES:
        if (kinds := rule(config)) is not None:
            break
    else:
        kinds = ("full",) * config.layers
    kinds = _with_states_named(config, kinds)
    if rule is not word_lists:  # words for every layer leave nothing open
        _refuse_unread(config, kinds)
    return _with_ngrams(config, _with_cross_attention(config, kinds))


def _with_states_named(config: ModelConfig, kinds: Kinds) -> Kinds:
    if not any("state" in parts_of(kind) for kind in kinds):
        return kinds
    state = next((s for s, names in STATE_FIELDS.items() if config.has(*names)), None)
    if state is None:
        config.refuse(
            "names layers with a recurrent state, but has no field of one that kvprof knows",
            hint=f"Known: {', '.join(name for names in STATE_FIELDS.values() for name in names)}.",
        )
    return tuple("+".join(state if p == "state" else p for p in kind.split("+")) for kind in kinds)


def _with_cross_attention(config: ModelConfig, kinds: Kinds) -> Kinds:
    """Decoders of encoder-decoders attend to the encoder in every layer beside themselves."""
    if config.value("is_encoder_decoder") is not True:
        return kinds
    return tuple("cross" if kind == "none" else f"{kind}+cross" for kind in kinds)


def _with_ngrams(config: ModelConfig, kinds: Kinds) -> Kinds:
    """Qwen4 embeds n-grams in some layers, counted from 1."""
    if not config.has("ple_layer_ids"):
        return kinds
    numbers = _numbers(config, "ple_layer_ids", minimum=1)
    return tuple(f"{k}+ngrams" if i + 1 in numbers else k for i, k in enumerate(kinds))


def _refuse_unread(config: ModelConfig, kinds: Kinds) -> None:
    there = {part for kind in kinds for part in parts_of(kind)}
    for part, names in ONLY_FIELDS.items():
        unread = next((name for name in names if config.has(name)), None)
        if unread is not None and part not in there:
            config.refuse(f"{unread} changes what its layers keep in a way that kvprof cannot read")


def _memory(config: ModelConfig) -> Kinds | None:
    """Transformer-XL and XLNet keep the hidden states of the last ``mem_len`` tokens."""
    return ("memory",) * config.layers if config.has("mem_len") else None


def _listed_layers(config: ModelConfig) -> Kinds | None:
    """Lists of the layers of one kind, among layers of another.

    Kimi Linear counts from 1; Bamba names attention among Mamba, LFM2 among convolutions, Inkling
    windows among full attention; Llama 3.2 Vision attends to the image alone in some layers.
    """
    for name, listed, other, first in _LAYER_LISTS:
        if config.has(name.split(".")[0]):
            numbers = _numbers(config, name, first, beyond=other == "full")
            return tuple(listed if i + first in numbers else other for i in range(config.layers))
    return None


_LAYER_LISTS = (
    ("linear_attn_config.full_attn_layers", "full", "kda", 1),
    ("attn_layer_indices", "full", "mamba", 0),
    ("full_attn_idxs", "full", "conv", 0),
    ("local_layer_ids", "sliding+state", "full+state", 0),
    ("cross_attention_layers", "cross", "full", 0),
)


def _numbers(config: ModelConfig, name: str, minimum: int, *, beyond: bool = False) -> set[int]:
    value = config.value(name)
    if not isinstance(value, list):
        config.refuse(f"{name} must be a list of layers")
    numbers = {config.whole_number(name, number, minimum) for number in value}
    if numbers and max(numbers) >= config.layers + minimum and not beyond:
        config.refuse(f"{name} names layer {max(numbers)} of {config.layers} layers")
    return numbers


def _periods(config: ModelConfig) -> Kinds | None:
    """Every n-th layer attends: Jamba counts from an offset, Qwen3-Next from 1."""
    if config.has("attn_layer_period"):
        period = config.integer("attn_layer_period")
        offset = config.integer("attn_layer_offset", default=0, minimum=0)
        if offset >= period:
            config.refuse(f"attn_layer_offset {offset} must be below attn_layer_period {period}")
        return tuple("full" if i % period == offset else "mamba" for i in range(config.layers))
    if config.has("full_attention_interval"):
        interval = config.integer("full_attention_interval")
        return tuple("state" if (i + 1) % interval else "full" for i in range(config.layers))
    return None


def _states_only(config: ModelConfig) -> Kinds | None:
    if config.has("d_state") and not config.has("num_attention_heads", "n_head"):
        return ("mamba",) * config.layers
    return None


def _block_configs(config: ModelConfig) -> Kinds | None:
    """Nemotron Super describes every layer; some have no attention, or one without a cache."""
    if (blocks := config.items("block_configs")) is None:
        return None
    if len(blocks) != config.layers:
        config.refuse(f"block_configs has {len(blocks)} layers, but there are {config.layers}")
    return tuple(_block_kind(config, block) for block in blocks)


def _block_kind(config: ModelConfig, block: object) -> str:
    attention = block.get("attention") if isinstance(block, dict) else None
    if not isinstance(attention, dict):
        config.refuse("block_configs must say what the attention of every layer is")
    if attention.get("no_op") is True or attention.get("replace_with_linear") is True:
        return "none"
    if attention.get("sparsify") or attention.get("window_length"):
        config.refuse("block_configs has windows or sparse attention, which kvprof cannot read")
    return "full"


def _flags(config: ModelConfig) -> Kinds | None:
    """A flag for each layer: MiniMax-Text (1: softmax attention), MiMo (1: windowed)."""
    for name, on, off in (
        ("attn_type_list", "full", "lightning"),
        ("hybrid_layer_pattern", "sliding", "full"),
        ("sparse_attention_config.sparse_attention_freq", "full+indexer", "full"),
    ):
        if (flags := config.items(name)) is not None:
            return _from_flags(config, name, flags, on, off)
    return None


def _windows(config: ModelConfig) -> Kinds | None:
    """Windowed layers, by a pattern (every n-th is full), from a layer on, or all of them."""
    if not config.has("window") or not config.flag("use_sliding_window", default=True):
        return None
    layers = config.layers
    if config.has("global_attn_every_n_layers") and config.has("local_attention"):  # ModernBERT
        every = config.integer("global_attn_every_n_layers")
        return tuple("sliding" if i % every else "full" for i in range(layers))
    patterns = ("sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers")
    if config.has(*patterns):
        value = next(config.value(name) for name in patterns if config.has(name))
        if isinstance(value, str):  # EXAONE 4: "LLLG"
            cycle = [{"L": "sliding", "G": "full"}.get(letter) for letter in value.upper()]
            if not cycle or None in cycle:
                config.refuse(f"sliding_window_pattern is {value[:40]!r}; it must be of L and G")
            return tuple(str(cycle[i % len(cycle)]) for i in range(layers))
        pattern = config.integer(*patterns)
        return tuple("sliding" if (i + 1) % pattern else "full" for i in range(layers))
    first = config.integer("max_window_layers", default=0, minimum=0)
    return tuple("full" if i < first else "sliding" for i in range(layers))


def _chunks(config: ModelConfig) -> Kinds | None:
    """Llama 4: layers with RoPE are chunked; without a list every fourth has none."""
    if not config.has("attention_chunk_size"):
        return None
    if flags := config.items("no_rope_layers"):
        return _from_flags(config, "no_rope_layers", flags, "chunked", "full")
    step = config.integer("no_rope_layer_interval", default=4)
    return tuple("chunked" if (i + 1) % step else "full" for i in range(config.layers))


def _from_flags(config: ModelConfig, name: str, flags: list[object], on: str, off: str) -> Kinds:
    if len(flags) != config.layers or any(flag not in (0, 1) for flag in flags):
        config.refuse(f"{name} must hold a 0 or 1 for each of {config.layers} layers")
    return tuple(on if flag else off for flag in flags)


_RULES = (
    word_lists,
    block_types,
    attention_types,
    hashed_types,
    _memory,
    _listed_layers,
    _periods,
    _states_only,
    _block_configs,
    _flags,
    cycles,
    _windows,
    _chunks,
)
