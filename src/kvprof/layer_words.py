"""The words by which configs name kinds of layers, and the rules that read lists of words."""

from __future__ import annotations

from kvprof.config import MAX_LAYERS, ModelConfig

Kinds = tuple[str, ...]
"""One kind a layer: the parts of it that keep something, joined by ``+``, or ``none``."""

KIND_WORDS = {
    **dict.fromkeys(("full_attention", "attention", "full", "global", "*"), "full"),
    **dict.fromkeys(("sliding_attention", "sliding", "local_attention", "local"), "sliding"),
    "reference_sliding_attention": "full",  # of a prompt, whose own window begins behind it
    "chunked_attention": "chunked",
    **dict.fromkeys(("indexed_attention", "minimax_m3_sparse"), "full+indexer"),
    "cross_attention": "cross",
    **dict.fromkeys(("mamba", "mamba2", "m"), "mamba"),
    "linear_attention": "state",
    "hybrid": "full+state",
    "hybrid_sliding": "sliding+state",
    "gated_delta_net": "linear",
    "kda": "kda",
    "lightning_attention": "lightning",
    **dict.fromkeys(("conv", "short_conv"), "conv"),
    "recurrent": "recurrent",
    **dict.fromkeys(("mlp", "moe", "-", "e"), "none"),
}
"""How configs spell a layer's kind (in lower case), and the kind.

``state`` is whichever state the config has fields of (`STATE_FIELDS`); ``none`` keeps nothing.
"""


def parts_of(kind: str) -> tuple[str, ...]:
    """The parts of a layer of that kind, each with caches of its own."""
    return () if kind == "none" else tuple(kind.split("+"))


def word_lists(config: ModelConfig) -> Kinds | None:
    """``layer_types`` and its kin name every layer."""
    for name in ("layer_types", "layers_block_type"):
        if (words := config.items(name)) is not None:
            return _from_words(config, name, words)
    if (pattern := config.text("hybrid_override_pattern")) is not None:
        return _from_words(config, "hybrid_override_pattern", list(pattern))
    return None


def block_types(config: ModelConfig) -> Kinds | None:
    """RecurrentGemma repeats ``block_types``; its attention is windowed."""
    if (words := config.items("block_types")) is None:
        return None
    cycle = [_kind(config, "block_types", i, word) for i, word in enumerate(words)]
    if not cycle:
        config.refuse("block_types is empty")
    if config.has("attention_window_size"):
        cycle = ["sliding" if kind == "full" else kind for kind in cycle]
    return tuple(cycle[i % len(cycle)] for i in range(config.layers))


def cycles(config: ModelConfig) -> Kinds | None:
    """What a config class makes of its layers when a config does not name them: a cycle."""
    if (words := config.items("layer_types_cycle")) is None:
        return None
    cycle = [_kind(config, "layer_types_cycle", i, word) for i, word in enumerate(words)]
    return tuple(cycle[i % len(cycle)] for i in range(config.layers)) if cycle else None


def attention_types(config: ModelConfig) -> Kinds | None:
    """GPT-Neo repeats groups of words: ``[[["global", "local"], 12]]``."""
    if (groups := config.items("attention_types")) is None:
        return None
    name, words = "attention_types", list[object]()
    for group in groups:
        if not isinstance(group, list) or len(group) != 2 or not isinstance(group[0], list):
            config.refuse("attention_types must hold pairs of words and how often they repeat")
        if len(words) > MAX_LAYERS:
            break
        words += group[0] * min(config.whole_number(name, group[1]), MAX_LAYERS)
    return _from_words(config, name, words)


def hashed_types(config: ModelConfig) -> Kinds | None:
    """Reformer keeps hidden states, in layers of two kinds."""
    if (words := config.items("attn_layers")) is None:
        return None
    known = {"local": "hashed_local", "lsh": "hashed"}
    if len(words) != config.layers or not all(str(word) in known for word in words):
        config.refuse(f"attn_layers must hold local or lsh for each of {config.layers} layers")
    return tuple(known[str(word)] for word in words)


def _from_words(config: ModelConfig, name: str, words: list[object]) -> Kinds:
    if not 1 <= len(words) <= MAX_LAYERS:
        config.refuse(f"{name} names {len(words)} layers; 1 to {MAX_LAYERS} are read")
    layers = config.layers if config.has("layers") else len(words)
    # Step 3 names its predicting layers too, last.
    predicting = config.integer("draft_layers", default=0, minimum=0)
    if len(words) not in (layers, layers + predicting):
        config.refuse(f"{name} names {len(words)} layers, but there are {layers}")
    return tuple(_kind(config, name, index, word) for index, word in enumerate(words[:layers]))


def _kind(config: ModelConfig, name: str, index: int, word: object) -> str:
    kind = KIND_WORDS.get(word.lower()) if isinstance(word, str) else None
    if kind is None:
        config.refuse(
            f"{name}[{index}] is {str(word)[:40]!r}, no layer kind that kvprof knows",
            hint=f"Known: {', '.join(sorted(KIND_WORDS))}.",
        )
    return kind
