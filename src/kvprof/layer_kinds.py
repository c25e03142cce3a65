"""A `ModelConfig` in, the kind of each of its layers out: ``full``, ``sliding``, ``mamba``, ...

Published configs spell it in a dozen ways; the first rule that finds its field decides.
"""

from __future__ import annotations

from kvprof.config import MAX_LAYERS, ModelConfig

Kinds = tuple[str, ...]

KIND_WORDS = {
    **dict.fromkeys(("full_attention", "attention", "full", "global", "*"), "full"),
    **dict.fromkeys(("sliding_attention", "sliding", "local_attention", "local"), "sliding"),
    "chunked_attention": "chunked",
    **dict.fromkeys(("mamba", "mamba2", "m"), "mamba"),
    "hybrid": "parallel",
    **dict.fromkeys(("linear_attention", "gated_delta_net"), "linear"),
    "kda": "kda",
    **dict.fromkeys(("conv", "short_conv"), "conv"),
    "recurrent": "recurrent",
    **dict.fromkeys(("mlp", "moe", "-", "e"), "none"),
}
"""How configs spell a layer's kind (in lower case), and the kind.

``parallel`` is attention and Mamba in one layer; ``none`` keeps nothing.
"""

UNREAD_FIELDS = (
    "attention_types",
    "attn_layers",
    "block_configs",
    "cla_share_factor",
    "compress_ratios",
    "cross_attention_layers",
    "kv_source_layers",
    "per_layer_config",
)
"""Fields that change what layers keep in a way that is not read: such a config is refused."""

KIND_FIELDS = {
    ("mamba", "parallel"): ("mamba_d_state", "ssm_state_size", "state_size"),
    ("linear",): ("linear_num_key_heads",),
    ("recurrent",): ("lru_width",),
    ("conv",): ("conv_L_cache",),
}
"""Fields that only some kinds have: a config with them and without such a layer is refused."""


def layer_kinds(config: ModelConfig) -> Kinds:
    """The kind of every layer, in model order.

    Raises
    ------
    ConfigError
        When fields disagree, name an unknown kind, or say something that cannot be read.
    """
    kinds = next(found for rule in _RULES if (found := rule(config)) is not None)
    if config.has("linear_attn_config"):
        kinds = tuple("kda" if kind == "linear" else kind for kind in kinds)
    _refuse_unread(config, kinds)
    return kinds


def _refuse_unread(config: ModelConfig, kinds: Kinds) -> None:
    unread = next((name for name in UNREAD_FIELDS if config.has(name)), None)
    if unread is None and config.value("is_encoder_decoder") is True:
        unread = "is_encoder_decoder"
    for having, names in KIND_FIELDS.items():
        if unread is None and not set(having) & set(kinds):
            unread = next((name for name in names if config.has(name)), None)
    if unread is not None:
        config.refuse(f"{unread} changes what its layers keep in a way that kvprof cannot read")


def _word_lists(config: ModelConfig) -> Kinds | None:
    """``layer_types`` and its kin name every layer; ``block_types`` is repeated."""
    for name in ("layer_types", "layers_block_type"):
        if (words := config.items(name)) is not None:
            return _from_words(config, name, words)
    if (pattern := config.text("hybrid_override_pattern")) is not None:
        return _from_words(config, "hybrid_override_pattern", list(pattern))
    return None


def _block_types(config: ModelConfig) -> Kinds | None:
    """RecurrentGemma repeats ``block_types``; its attention is windowed."""
    if (words := config.items("block_types")) is None:
        return None
    cycle = [_kind(config, "block_types", i, word) for i, word in enumerate(words)]
    if not cycle:
        config.refuse("block_types is empty")
    if config.has("attention_window_size"):
        cycle = ["sliding" if kind == "full" else kind for kind in cycle]
    return tuple(cycle[i % len(cycle)] for i in range(config.layers))


def _from_words(config: ModelConfig, name: str, words: list[object]) -> Kinds:
    if not 1 <= len(words) <= MAX_LAYERS:
        config.refuse(f"{name} names {len(words)} layers; 1 to {MAX_LAYERS} are read")
    if config.has("layers") and len(words) != config.layers:
        config.refuse(f"{name} names {len(words)} layers, but there are {config.layers}")
    return tuple(_kind(config, name, index, word) for index, word in enumerate(words))


def _kind(config: ModelConfig, name: str, index: int, word: object) -> str:
    kind = KIND_WORDS.get(word.lower()) if isinstance(word, str) else None
    if kind is None:
        config.refuse(
            f"{name}[{index}] is {str(word)[:40]!r}, no layer kind that kvprof knows",
            hint=f"Known: {', '.join(sorted(KIND_WORDS))}.",
        )
    return kind


def _linear_lists(config: ModelConfig) -> Kinds | None:
    """Kimi Linear: ``linear_attn_config.full_attn_layers`` counts from 1."""
    name = "linear_attn_config.full_attn_layers"
    if not config.has("linear_attn_config"):
        return None
    full = _numbers(config, name, config.value(name), minimum=1)
    return tuple("full" if i + 1 in full else "kda" for i in range(config.layers))


def _index_lists(config: ModelConfig) -> Kinds | None:
    """Bamba lists attention layers among Mamba's, LFM2 among convolutions."""
    for name, other in (("attn_layer_indices", "mamba"), ("full_attn_idxs", "conv")):
        if config.has(name):
            full = _numbers(config, name, config.value(name), minimum=0)
            return tuple("full" if i in full else other for i in range(config.layers))
    return None


def _numbers(config: ModelConfig, name: str, value: object, minimum: int) -> set[int]:
    if not isinstance(value, list):
        config.refuse(f"{name} must be a list of layers")
    numbers = {config.whole_number(name, number, minimum) for number in value}
    if numbers and max(numbers) >= config.layers + minimum:
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
        return tuple("linear" if (i + 1) % interval else "full" for i in range(config.layers))
    return None


def _states_only(config: ModelConfig) -> Kinds | None:
    if config.has("d_state") and not config.has("num_attention_heads", "n_head"):
        return ("mamba",) * config.layers
    return None


def _windows(config: ModelConfig) -> Kinds | None:
    """Windowed layers, by a list of flags, a pattern (every n-th is full), or all of them."""
    if (flags := config.items("hybrid_layer_pattern")) is not None:
        return _from_flags(config, "hybrid_layer_pattern", flags, "sliding")
    if not config.has("window") or not config.flag("use_sliding_window", default=True):
        return None
    layers = config.layers
    if config.has("sliding_window_pattern", "_sliding_window_pattern"):
        pattern = config.integer("sliding_window_pattern", "_sliding_window_pattern")
        return tuple("sliding" if (i + 1) % pattern else "full" for i in range(layers))
    first = config.integer("max_window_layers", default=0, minimum=0)
    return tuple("full" if i < first else "sliding" for i in range(layers))


def _chunks(config: ModelConfig) -> Kinds | None:
    """Llama 4: layers with RoPE are chunked; without a list every fourth has none."""
    if not config.has("attention_chunk_size"):
        return None
    if flags := config.items("no_rope_layers"):
        return _from_flags(config, "no_rope_layers", flags, "chunked")
    step = config.integer("no_rope_layer_interval", default=4)
    return tuple("chunked" if (i + 1) % step else "full" for i in range(config.layers))


def _from_flags(config: ModelConfig, name: str, flags: list[object], kind: str) -> Kinds:
    if len(flags) != config.layers or any(flag not in (0, 1) for flag in flags):
        config.refuse(f"{name} must hold a 0 or 1 for each of {config.layers} layers")
    return tuple(kind if flag else "full" for flag in flags)


def _all_full(config: ModelConfig) -> Kinds:
    return ("full",) * config.layers


_RULES = (
    _word_lists,
    _block_types,
    _linear_lists,
    _index_lists,
    _periods,
    _states_only,
    _windows,
    _chunks,
    _all_full,
)
