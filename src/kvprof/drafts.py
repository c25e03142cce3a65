"""A `ModelConfig` and its kinds of layers in, those of its multi-token predictor out."""

from __future__ import annotations

from kvprof.config import MAX_LAYERS, ModelConfig
from kvprof.indexers import OWN, SHARED, TAIL
from kvprof.layer_words import KIND_WORDS, Kinds, parts_of

_WORDS = ("mtp_layer_types", "mtp_layers_block_type")
_WINDOWED = frozenset({"dots3_note_text", "mimo_v2_flash"})
"""Families whose predictors are windowed (vLLM mimo_v2_mtp.py, config/speculative.py)."""
_KEPT_PARTS = ("full", "sliding", "chunked", OWN, TAIL)


def draft_kinds(config: ModelConfig, kinds: Kinds) -> Kinds:
    """The kinds of the layers that predict more tokens, empty when a config has none.

    Each is a decoder layer as the model's own with full attention (vLLM deepseek_mtp.py,
    glm4_moe_mtp.py, qwen3_next_mtp.py), unless words say what they are: as many words as there
    are predictors, also behind those of the layers (Step 3), or those of which every predictor is
    made (Nemotron-H).

    Raises
    ------
    ConfigError
        When their number or a word is malformed.
    """
    count = config.integer("draft_layers", default=0, minimum=0)
    if count > MAX_LAYERS:
        config.refuse(f"{count} predicting layers are more than the {MAX_LAYERS} that are read")
    for words in (*map(config.items, _WORDS), (config.items("layer_types") or [])[len(kinds) :]):
        if count and words:
            known = tuple(KIND_WORDS.get(str(word).lower(), "full") for word in words)
            return known if len(known) == count else (known * count)[:MAX_LAYERS]
    if config.model_type in _WINDOWED and "sliding" in kinds:
        return ("sliding",) * count
    return (_predictor(kinds),) * count


def _predictor(kinds: Kinds) -> str:
    attending = [kind for kind in kinds if "full" in parts_of(kind)]
    parts = parts_of((attending or list(kinds))[-1].replace(SHARED, OWN))
    return "+".join(part for part in parts if part in _KEPT_PARTS) or "none"
