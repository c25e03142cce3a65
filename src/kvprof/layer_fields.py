"""A `ModelConfig` in, the config as each of its layers has it out.

Fields that differ layer by layer are spelled as lists of one value a layer (OpenELM), as objects
by the layer's number (``per_layer_config``), or as descriptions of blocks (Nemotron Super). Each
layer's values are laid over the config's own, so that whoever builds a layer reads plain fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kvprof.config import ModelConfig
from kvprof.spellings import SPELLINGS

_LISTED = frozenset(
    spelling
    for meaning in ("heads", "kv_heads", "head_dim", "window")
    for spelling in SPELLINGS[meaning]
)
"""Fields that some configs give as one value a layer."""


def layer_configs(config: ModelConfig, layers: int) -> tuple[ModelConfig, ...]:
    """The config as each layer has it; layers that differ in nothing share one.

    Raises
    ------
    ConfigError
        When a field by layer is malformed, or names a layer that is not there.
    """
    known: dict[str, ModelConfig] = {"{}": config}
    found = []
    for fields in _fields_by_layer(config, layers):
        key = repr(fields)
        if key not in known:
            known[key] = config.overlaid(fields)
        found.append(known[key])
    return tuple(found)


def _fields_by_layer(config: ModelConfig, layers: int) -> list[dict[str, Any]]:
    own: list[dict[str, Any]] = [{} for _ in range(layers)]
    for name in _LISTED & config.fields.keys():
        values = config.fields[name]
        if isinstance(values, list) and len(values) == layers:
            for fields, value in zip(own, values, strict=True):
                fields[name] = value
    for fields, rotated in zip(own, _rotated(config), strict=False):
        if not rotated:
            fields["qk_rope_head_dim"] = 0
    for index, numbered in _by_number(config, layers):
        own[index].update(numbered)
    for fields, block in zip(own, config.items("block_configs") or (), strict=False):
        fields.update(_block_fields(config, block))
    return own


def _rotated(config: ModelConfig) -> list[Any]:
    """Mistral Large 4: a latent of a layer without RoPE has no RoPE key beside it."""
    return config.items("no_rope_layers") or [] if config.has("kv_lora_rank") else []


def _by_number(config: ModelConfig, layers: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """``per_layer_config``: an object by the layer's number (``"5"``, ``"05"``), or a list."""
    name = "per_layer_config"
    given = config.value(name)
    if given is None:
        return
    if isinstance(given, list):
        given = {str(index): fields for index, fields in enumerate(given)}
    if not isinstance(given, Mapping):
        config.refuse(f"{name} must hold fields by layer")
    for key, fields in given.items():
        if not (str(key).isdecimal() and len(str(key)) < 9 and int(key) < layers):
            config.refuse(f"{name} names layer {str(key)[:40]!r} of {layers} layers")
        if fields is not None and not isinstance(fields, Mapping):
            config.refuse(f"{name} of layer {key} must hold fields")
        yield int(key), fields or {}


def _block_fields(config: ModelConfig, block: Any) -> dict[str, Any]:
    """Nemotron Super says how many query heads share a KV head, where a layer attends."""
    attention = block.get("attention") if isinstance(block, Mapping) else None
    group = attention.get("n_heads_in_group") if isinstance(attention, Mapping) else None
    if group is None:
        return {}
    group = config.whole_number("n_heads_in_group", group)
    if config.heads % group:
        config.refuse(f"n_heads_in_group {group} does not divide {config.heads} attention heads")
    return {"num_key_value_heads": config.heads // group}
