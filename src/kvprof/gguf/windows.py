"""Metadata of a GGUF file in, the fields of windowed and chunked attention out.

What llama.cpp knows of an architecture without a key, its pattern of windows or a chunk, stands
here, each with the file of ``src/models`` that it comes from.
"""

from __future__ import annotations

from collections.abc import Callable

from kvprof.gguf.attention import Fields, attention
from kvprof.gguf.metadata import Metadata


def window_pattern(full_every: int, *, full_first: bool = False) -> Callable[[int], list[str]]:
    """``set_swa_pattern`` of ``llama-hparams.cpp``: one of ``full_every`` layers is full."""
    full_at = 0 if full_first else full_every - 1
    return lambda layers: [
        "full_attention" if index % full_every == full_at else "sliding_attention"
        for index in range(layers)
    ]


def windows(
    pattern: Callable[[int], list[str]] | None = None, *, window: int | None = None
) -> Callable[[Metadata, int], Fields]:
    """Windowed layers: by a key with a flag for each, a period, or the architecture's pattern.

    Without a window every layer is full; ``window`` is the architecture's own when no key says it.
    """

    def fields(metadata: Metadata, layers: int) -> Fields:
        size = metadata.integer("attention.sliding_window", window or 0, minimum=0)
        if not size:
            return attention(metadata, layers)
        found = attention(metadata, layers, _window_kinds(metadata, layers, pattern))
        found |= {"sliding_window": size}
        found["num_kv_shared_layers"] = metadata.integer("attention.shared_kv_layers", 0, minimum=0)
        if metadata.has("attention.key_length_swa"):
            found["swa_head_dim"] = metadata.integer("attention.key_length_swa")
            value_size = metadata.integer("attention.value_length_swa", found["swa_head_dim"])
            if value_size != found["swa_head_dim"] or "v_head_dim" in found:
                found["swa_v_head_dim"] = value_size
        return found

    return fields


def _window_kinds(
    metadata: Metadata, layers: int, pattern: Callable[[int], list[str]] | None
) -> list[str]:
    given = metadata.values.get(metadata.key("attention.sliding_window_pattern"))
    if isinstance(given, tuple):
        flags = metadata.per_layer("attention.sliding_window_pattern", layers)
        return ["sliding_attention" if flag else "full_attention" for flag in flags]
    if given is not None:
        return window_pattern(metadata.integer("attention.sliding_window_pattern"))(layers)
    if pattern is None:
        metadata.refuse(
            f"{metadata.key('attention.sliding_window')} does not say which layers are windowed",
            hint="Give the model's config.json instead.",
        )
    return pattern(layers)


def all_windowed(layers: int) -> list[str]:
    """Phi-3: every layer has the window, though llama.cpp keeps every token (``phi3.cpp``)."""
    return ["sliding_attention"] * layers


def exaone4(metadata: Metadata, layers: int) -> Fields:
    """EXAONE 4: the 32B of 64 layers has windows, the 1.2B has none (``exaone4.cpp``)."""
    return (
        windows(window_pattern(4), window=4096)(metadata, layers)
        if layers == 64
        else attention(metadata, layers)
    )


def gemma4(metadata: Metadata, layers: int) -> Fields:
    """Gemma 4, whose full layers may keep K = V once: then they have no tensor for V.

    ``gemma4.cpp`` (``use_alternative_attention``).
    """
    fields = windows()(metadata, layers)
    kinds = fields["layer_types"]
    full = [index for index, kind in enumerate(kinds) if kind == "full_attention"]
    tensors = metadata.tensors or {}
    keys = [index for index in full if f"blk.{index}.attn_k.weight" in tensors]
    if not keys:
        metadata.refuse(
            "whether its full layers keep K = V once is told by its tensors, which are not in its "
            "header",
            hint="Give the model's config.json, or a file whose header is whole.",
        )
    values = [index for index in keys if f"blk.{index}.attn_v.weight" in tensors]
    return {**fields, "attention_k_eq_v": not values}


def chunks(metadata: Metadata, layers: int) -> Fields:
    """Llama 4: three of four layers attend in chunks of 8,192 tokens (``llama4.cpp``).

    A window of 0 says that it has none (MobileLLM).
    """
    if metadata.values.get(metadata.key("attention.sliding_window")) == 0:
        return attention(metadata, layers)
    kinds = [
        "full_attention" if (index + 1) % 4 == 0 else "chunked_attention" for index in range(layers)
    ]
    return {**attention(metadata, layers, kinds), "attention_chunk_size": 8192}
