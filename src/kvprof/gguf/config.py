"""A GGUF file in, the `ModelConfig` of its model out, in the words of a config.json.

Keys and what they mean: ``gguf-py/gguf/constants.py`` and the ``load_arch_hparams`` of each
architecture in ``src/models`` of llama.cpp, which also has what no key says (`families`).
"""

from __future__ import annotations

import re
from pathlib import Path

from kvprof.config import ModelConfig, shown
from kvprof.errors import ConfigError, UsageError
from kvprof.gguf.families import FAMILIES, UNKNOWN, Family
from kvprof.gguf.header import GgufHeader, model_name, read_header, shards
from kvprof.gguf.metadata import Metadata

KEEPING_KEYS = (
    "attention.compress",
    "attention.indexer.",
    "attention.key_length_swa",
    "attention.kv_lora_rank",
    "attention.recurrent_layers",
    "attention.shared_kv_layers",
    "attention.sliding_window",
    "attention.value_length_swa",
    "decoder_block_count",
    "full_attention_interval",
    "kda.",
    "shortconv.",
    "ssm.",
    "token_shift_count",
    "wkv.",
)
"""Beginnings of keys that change what layers keep: refused where a family does not read them."""

_ARCHITECTURE = re.compile(r"[\w.-]{1,64}", re.ASCII)

PLAIN_KEYS = (
    "attention.clamp_kqv",
    "attention.head_count",
    "attention.key_length",
    "attention.layer_norm",
    "attention.max_alibi_bias",
    "attention.scale",
    "attention.value_length",
    "attn_logit_softcapping",
    "block_count",
    "context_length",
    "embedding_length",
    "embedding_scale",
    "expert_",
    "feed_forward_length",
    "final_logit_softcapping",
    "leading_dense_block_count",
    "logit_scale",
    "nextn_predict_layers",
    "residual_scale",
    "rope.",
    "tensor_data_layout",
    "use_parallel_residual",
    "vocab_size",
)
"""Beginnings of keys that an unknown architecture may have to be read: others may mean anything."""


def gguf_config(path: Path) -> ModelConfig:
    """Read a model's GGUF file, of a sharded model any of its files; its data may be missing.

    ``dtype`` stays None, since GGUF says only how weights are quantised.

    Raises
    ------
    ConfigError
        When it cannot be read, holds no decoder, or does not say what its layers keep.
    UnavailableError
        When the package ``gguf`` is not installed.
    """
    first = shards(path)[0]
    header = read_header(first)
    if header.metadata.get("split.no"):
        raise ConfigError(
            f"{path}: is a later part of a model, whose metadata stand in the first",
            hint="Give its first file, or name the files -00001-of-00003.gguf and so on.",
        )
    metadata = Metadata(str(path), _architecture(header, path), header.metadata, header.tensors)
    family = FAMILIES.get(metadata.architecture, UNKNOWN)
    _refuse_unread(metadata, family)
    layers = metadata.layers
    fields = {
        "num_hidden_layers": layers,
        "hidden_size": metadata.integer("embedding_length"),
        **family.fields(metadata, layers),
    }
    model_type = family.model_type or metadata.architecture
    return ModelConfig(model_name(path), str(path), model_type, fields)


def gguf_weights_bytes(path: Path) -> int:
    """Bytes of a model's tensors, in all of its files.

    Raises
    ------
    UsageError
        When a file is missing, or its header does not say.
    """
    total = 0
    for file in shards(path):
        sizes = read_header(file).tensors
        if sizes is None:
            raise UsageError(
                f"--weights auto cannot tell the weights of {str(file)!r}: its header ends before "
                "the last tensor, or a tensor has an unknown type",
                hint="Give their bytes, e.g. --weights 16GiB.",
            )
        total += sum(sizes.values())
    return total


def _architecture(header: GgufHeader, path: Path) -> str:
    kind = header.metadata.get("general.type", "model")
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str) or not _ARCHITECTURE.fullmatch(architecture):
        raise ConfigError(
            f"{path}: has no general.architecture, or none that is a name: {shown(architecture)}"
        )
    if kind != "model" or architecture == "clip":
        what = shown(architecture if kind == "model" else kind)
        raise ConfigError(
            f"{path}: is of the kind {what}, no language model",
            hint="Give the model's own file, not its projector, adapter or importance matrix.",
        )
    return architecture


def _refuse_unread(metadata: Metadata, family: Family) -> None:
    names = metadata.names()
    if family is UNKNOWN:
        unread = next((name for name in names if not name.startswith(PLAIN_KEYS)), None)
        known = "which kvprof does not know"
    else:
        keeping = (name for name in names if name.startswith(KEEPING_KEYS))
        unread = next((name for name in keeping if not name.startswith(family.reads)), None)
        known = "which has no such key"
    if unread is not None:
        metadata.refuse(
            f"its key {unread[:60]!r} may change what its layers keep, and its architecture is "
            f"{metadata.architecture!r}, {known}",
            hint="Give the model's config.json instead.",
        )
    if metadata.values.get(metadata.key("attention.causal")) is False:
        metadata.refuse("is an encoder or a diffusion model, which keeps no cache between tokens")
