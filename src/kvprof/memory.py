"""The memory that a cache may use: from ``--memory``, or ``--device-memory`` less ``--weights``."""

from __future__ import annotations

import json
from pathlib import Path

from kvprof.errors import UsageError
from kvprof.inputs import STDIN_SOURCE
from kvprof.model import Model
from kvprof.registry import registry
from kvprof.units import MAX_BYTES, format_bytes, parse_bytes
from kvprof.weights import library_bytes, parameter_bytes, stated_bytes

_INDEX = "model.safetensors.index.json"
_MAX_INDEX_BYTES = 64 * 2**20


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

    ``auto`` takes the first that there is: the parameter count of the catalogue; the tensors in the
    header of a GGUF file, or ``total_size`` in ``model.safetensors.index.json`` (else the tensors
    of ``model.safetensors``) beside the config or in its repository on the Hugging Face Hub; a
    count that the config states; those of the model that transformers makes of the config, where it
    is installed. A count is times the config's dtype.

    Raises
    ------
    UsageError
        When the size is none, or the source does not say.
    UnavailableError
        When the Hub cannot be reached.
    """
    if given is None:
        return None
    if given != "auto":
        return parse_bytes(given)
    why = ""
    found = _found_bytes(model) or stated_bytes(model.config)
    if found is None:
        found, why = library_bytes(model.config)
    if found is None:
        raise UsageError(
            f"--weights auto cannot tell the weights of {model.config.name!r}: no parameter count "
            f"in the catalogue or the config, no {_INDEX} or model.safetensors beside the config, "
            f"and {why}",
            hint="Give their bytes, e.g. --weights 16GiB, or a GGUF file as --config, or let "
            "transformers count the parameters: pip install 'kvprof[transformers]'.",
        )
    return found


def _found_bytes(model: Model) -> int | None:
    from kvprof.gguf.header import is_gguf  # noqa: PLC0415
    from kvprof.hub import PREFIX, hub_file  # noqa: PLC0415

    source = model.config.source
    if source.startswith("catalogue:"):
        return _catalogue_bytes(model)
    if source == STDIN_SOURCE:
        return None
    if source.startswith(PREFIX):
        index = hub_file(source.removeprefix(PREFIX), _INDEX, most_bytes=_MAX_INDEX_BYTES)
        return None if index is None else _indexed_bytes(index)
    if is_gguf(Path(source)):
        from kvprof.gguf.config import gguf_weights_bytes  # noqa: PLC0415

        return gguf_weights_bytes(Path(source))
    folder = Path(source).parent
    return _indexed_bytes(folder / _INDEX) or _tensor_bytes(folder / "model.safetensors")


def _indexed_bytes(index: Path) -> int | None:
    try:
        with index.open("rb") as stream:
            size = int(json.loads(stream.read(_MAX_INDEX_BYTES))["metadata"]["total_size"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return size if 0 < size <= MAX_BYTES else None


def _tensor_bytes(file: Path) -> int | None:
    """A safetensors file is the length of its header in 8 bytes, the header, and the tensors."""
    try:
        with file.open("rb") as stream:
            header = int.from_bytes(stream.read(8), "little")
            tensors = file.stat().st_size - 8 - header
    except OSError:
        return None
    return tensors if header > 0 and tensors > 0 else None


def _catalogue_bytes(model: Model) -> int | None:
    row = registry().models.get(model.config.name)
    if row is None or row.parameters is None:
        return None
    return parameter_bytes(row.parameters, model.config.dtype)
