"""Metadata of a GGUF file in, the attention fields of a config.json out.

Files named here are of llama.cpp's ``src`` and ``src/models``.
"""

from __future__ import annotations

from typing import Any

from kvprof.gguf.metadata import Metadata

Fields = dict[str, Any]

ATTENDING = ("full_attention", "sliding_attention", "chunked_attention", "hybrid")


def heads(metadata: Metadata, layers: int) -> Fields:
    """Heads and their sizes; `n_embd_head_k` and `n_embd_head_v` of ``llama-model.cpp``."""
    counts = metadata.per_layer("attention.head_count", layers)
    count = next((count for count in counts if count), 0)
    if not count:
        metadata.refuse(f"{metadata.key('attention.head_count')} is 0 in every layer")
    hidden = metadata.integer("embedding_length")
    if hidden % count and not metadata.has("attention.key_length"):
        metadata.refuse(f"{hidden} is not a multiple of {count} heads, and no key_length is given")
    key_size = metadata.integer("attention.key_length", hidden // count)
    value_size = metadata.integer("attention.value_length", hidden // count)
    fields: Fields = {"num_attention_heads": count, "head_dim": key_size}
    return fields if value_size == key_size else {**fields, "v_head_dim": value_size}


def attention(metadata: Metadata, layers: int, kinds: list[str] | None = None) -> Fields:
    """Attention in every layer, or where ``kinds`` say so; windows may have KV heads of their own.

    Raises
    ------
    ConfigError
        When KV heads differ between layers of one kind, or some attend and have none.
    """
    kinds = kinds or ["full_attention"] * layers
    fields = heads(metadata, layers)
    of_kinds = _kv_heads_of_kinds(metadata, kinds, fields["num_attention_heads"])
    full = next((of_kinds[kind] for kind in of_kinds if kind != "sliding_attention"), None)
    windowed = of_kinds.get("sliding_attention")
    fields |= {
        "layer_types": kinds,
        "num_key_value_heads": full or windowed or fields["num_attention_heads"],
    }
    if windowed and windowed != full:
        fields["swa_num_key_value_heads"] = windowed
    return fields


def _kv_heads_of_kinds(metadata: Metadata, kinds: list[str], heads: int) -> dict[str, int]:
    counts = metadata.per_layer("attention.head_count_kv", len(kinds), heads)
    found: dict[str, int] = {}
    for index, (kind, count) in enumerate(zip(kinds, counts, strict=True)):
        if kind not in ATTENDING:
            continue
        if count < 1 or found.setdefault(kind, count) != count:
            metadata.refuse(
                f"layer {index} has {count} KV heads, which kvprof cannot read for the "
                f"architecture {metadata.architecture!r}",
                hint="Give the model's config.json instead.",
            )
    return found


def latent(metadata: Metadata, layers: int) -> Fields:
    """MLA, which llama.cpp runs as one KV head, and a sparse-attention indexer where there is one.

    ``deepseek2.cpp``, ``deepseek32.cpp``, ``glm-dsa.cpp``.
    """
    count = metadata.integer("attention.head_count")
    fields: Fields = {
        "num_attention_heads": count,
        "num_key_value_heads": count,
        "kv_lora_rank": metadata.integer("attention.kv_lora_rank"),
        "qk_rope_head_dim": metadata.integer("rope.dimension_count"),
    }
    if metadata.has("attention.indexer.key_length"):
        fields |= {
            "index_head_dim": metadata.integer("attention.indexer.key_length"),
            "index_topk": metadata.integer("attention.indexer.top_k"),
            "indexer_types": _indexer_types(metadata, layers),
        }
    return fields


def _indexer_types(metadata: Metadata, layers: int) -> list[str]:
    """Layers that choose, and layers that reuse a choice: flags, words, or GLM-5.2's pattern.

    Files of GLM-5.2 from before there was a key are known by their context (``glm-dsa.cpp``).
    """
    types = metadata.values.get(metadata.key("attention.indexer.types"))
    if isinstance(types, tuple) and types and isinstance(types[0], str):
        return [str(word) for word in types[:layers]]
    if types is not None:
        flags = metadata.per_layer("attention.indexer.types", layers)
    elif metadata.architecture == "glm-dsa" and metadata.integer("context_length", 1) >= 2**20:
        flags = tuple(int(index < 2 or index % 4 == 2) for index in range(layers))
    else:
        flags = (1,) * layers
    return ["full" if flag else "shared" for flag in flags]


def attending(metadata: Metadata, layers: int, other: str) -> list[str]:
    """Layers without KV heads are of the other kind."""
    counts = metadata.per_layer("attention.head_count_kv", layers)
    return ["full_attention" if count else other for count in counts]


def blocks(metadata: Metadata, layers: int) -> Fields:
    """Nemotron Super: KV heads layer by layer, none where attention is left out (``deci.cpp``)."""
    heads_of = metadata.per_layer("attention.head_count", layers)
    kv_heads_of = metadata.per_layer("attention.head_count_kv", layers)
    return {
        **heads(metadata, layers),
        "block_configs": [
            {
                "attention": {
                    "n_heads_in_group": count // kv_count if kv_count else None,
                    "no_op": not count,
                    "replace_with_linear": bool(count and not kv_count),
                }
            }
            for count, kv_count in zip(heads_of, kv_heads_of, strict=True)
        ],
    }
