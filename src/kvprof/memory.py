"""The memory that a cache may use: from ``--memory``, or ``--device-memory`` less ``--weights``."""

from __future__ import annotations

import json
from pathlib import Path

from kvprof.dtypes import ELEMENT_BITS, canonical_dtype
from kvprof.errors import UsageError
from kvprof.model import Model
from kvprof.registry import registry
from kvprof.units import format_bytes, parse_bytes


def cache_memory(
    memory: int | None, device_memory: int | None, weights_bytes: int | None
) -> int | None:
    """Bytes that the cache may use; None when nothing bounds it.

    Raises
    ------
    UsageError
        When both are given, or the weights leave nothing.
    """
    if memory is not None and device_memory is not None:
        raise UsageError(
            "--memory and --device-memory are two ways to say one thing; give one of them"
        )
    if device_memory is None:
        return memory
    left = device_memory - (weights_bytes or 0)
    if left <= 0:
        raise UsageError(
            f"--weights {format_bytes(weights_bytes or 0)} leave nothing of --device-memory "
            f"{format_bytes(device_memory)}",
            hint="Give more device memory, or fewer bytes of weights.",
        )
    return left


def weights_bytes(given: str | None, model: Model) -> int | None:
    """Bytes of the weights: a size, or ``auto``.

    ``auto`` reads ``model.safetensors.index.json`` beside the config (its ``total_size``), or
    takes the catalogue's parameter count times the config's dtype.

    Raises
    ------
    UsageError
        When the size is none, or neither source is there.
    """
    if given is None:
        return None
    if given != "auto":
        return parse_bytes(given)
    found = _indexed_bytes(model.config.source) or _catalogue_bytes(model)
    if found is None:
        raise UsageError(
            f"--weights auto cannot tell the weights of {model.config.name!r}: neither a parameter "
            "count in the catalogue nor model.safetensors.index.json beside the config",
            hint="Give their bytes, e.g. --weights 16GiB.",
        )
    return found


def _indexed_bytes(source: str) -> int | None:
    if source.startswith("catalogue:"):
        return None
    index = Path(source).parent / "model.safetensors.index.json"
    try:
        size = int(json.loads(index.read_text(encoding="utf-8"))["metadata"]["total_size"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return size if size > 0 else None


def _catalogue_bytes(model: Model) -> int | None:
    row = registry().models.get(model.config.name)
    if row is None or row.parameters is None or not model.config.source.startswith("catalogue:"):
        return None
    dtype = canonical_dtype(model.config.dtype or "bfloat16", option="the config's dtype")
    return row.parameters * ELEMENT_BITS[dtype] // 8
