"""A `ModelConfig` and its kinds of layers in, the kinds with their sparse attention named out."""

from __future__ import annotations

from kvprof.config import ModelConfig
from kvprof.layer_words import Kinds, parts_of

OWN, SHARED = "indexer", "shared_indexer"
"""Parts of a layer that chooses the rows it reads itself, or reads those another chose."""
TAIL = "indexer_tail"
"""The part that a pooled indexer has not pooled yet."""


def with_indexers(config: ModelConfig, kinds: Kinds) -> Kinds:
    """Name the layers with an indexer.

    Where no word for each layer says so, DeepSeek-V3.2 and GLM-5 give one to every layer.
    ``indexer_types`` and its short forms say which of them reuse the choice of one before.

    Raises
    ------
    ConfigError
        When an indexer is where none is read, or the list of their types is malformed.
    """
    named = config.has("layer_types", "layers_block_type") or any(map(_indexed, kinds))
    if not named and config.has("index_head_dim"):
        for index, kind in enumerate(kinds):
            if kind != "full":
                config.refuse(
                    f"layer {index} is a {kind} layer, where kvprof reads no sparse attention"
                )
        kinds = tuple(f"{kind}+{OWN}" for kind in kinds)
    if not any(map(_indexed, kinds)):
        return kinds
    if config.has("index_kpool"):
        kinds = tuple(f"{kind}+{TAIL}" if _indexed(kind) else kind for kind in kinds)
    types = _types(config, len(kinds))
    return tuple(
        _sharing(kind) if types[index] == "shared" and _indexed(kind) else kind
        for index, kind in enumerate(kinds)
    )


def _sharing(kind: str) -> str:
    parts = (SHARED if part == OWN else part for part in parts_of(kind) if part != TAIL)
    return "+".join(parts)


def _indexed(kind: str) -> bool:
    return OWN in parts_of(kind)


def _types(config: ModelConfig, layers: int) -> list[str]:
    """``full`` or ``shared`` for each layer: listed, a pattern of F and S, or every n-th.

    transformers configuration_mistral_large4.py and vLLM deepseek_v2.py have the short forms.
    """
    name = "indexer_types"
    if (listed := config.items(name)) is not None:
        types = [str(word) for word in listed]
    elif (pattern := config.text("index_topk_pattern")) is not None:
        name = "index_topk_pattern"
        types = [{"F": "full", "S": "shared"}.get(letter, letter) for letter in pattern]
    else:
        every = config.integer("index_topk_freq", default=1)
        offset = config.integer("index_skip_topk_offset", default=2, minimum=0)
        types = ["shared" if max(i - offset + 1, 0) % every else "full" for i in range(layers)]
    if len(types) != layers or not set(types) <= {"full", "shared"}:
        config.refuse(f"{name} must hold full or shared for each of {layers} layers")
    return types
