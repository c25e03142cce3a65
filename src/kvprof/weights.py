"""A config in, the bytes of its model's weights out, from a parameter count and element sizes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from kvprof.config import ModelConfig
from kvprof.dtypes import ELEMENT_BITS, canonical_dtype
from kvprof.errors import ConfigError, DeviceError, UnavailableError
from kvprof.units import MAX_BYTES

_STATED = (
    "num_parameters",
    "n_parameters",
    "num_params",
    "n_params",
    "total_parameters",
    "total_params",
    "parameter_count",
    "param_count",
)
_FP8_METHODS = ("fp8", "fbgemm_fp8")
_MOST_PARAMETERS = MAX_BYTES // 4


def parameter_bytes(parameters: int, dtype: str | None) -> int:
    """Bytes of that many parameters in a config's dtype, bfloat16 when it has none."""
    name = canonical_dtype(dtype or "bfloat16", option="the config's dtype")
    return parameters * ELEMENT_BITS[name] // 8


def stated_bytes(config: ModelConfig) -> int | None:
    """By a count that the whole config states; None when it states none, or packs its weights.

    A quantised checkpoint in fp8 counts 1 byte for each.
    """
    stated = (config.outer.get(name) for name in _STATED)
    count = next((n for n in stated if isinstance(n, int | float) and _is_count(n)), None)
    if count is None or is_packed(config):
        return None
    return parameter_bytes(int(count), "fp8" if _is_fp8(config) else config.dtype)


def library_bytes(config: ModelConfig) -> tuple[int | None, str]:
    """By the model that transformers makes of the config; and why not, where it makes none.

    Matrices of a checkpoint in fp8 count 1 byte for each of their parameters; embedding, head,
    norms and biases are in the config's dtype.
    """
    if (
        importlib.util.find_spec("transformers") is None
        or importlib.util.find_spec("torch") is None
    ):
        return None, "the extra that counts the parameters is not installed"
    if is_packed(config):
        return None, f"its weights are packed by {_quantisation(config).get('quant_method')!r:.40}"
    from kvprof.against.parameters import library_parameters  # noqa: PLC0415

    try:
        found = library_parameters(config.outer or config.fields)
    except (ConfigError, DeviceError, UnavailableError) as error:
        return None, str(error.args[0])
    matrices = parameter_bytes(found.matrices, "fp8" if _is_fp8(config) else config.dtype)
    return matrices + parameter_bytes(found.others, config.dtype), ""


def is_packed(config: ModelConfig) -> bool:
    """Whether weights are stored in other ways than one element for each parameter."""
    return bool(_quantisation(config)) and not _is_fp8(config)


def _is_fp8(config: ModelConfig) -> bool:
    return _quantisation(config).get("quant_method") in _FP8_METHODS


def _quantisation(config: ModelConfig) -> Mapping[str, Any]:
    found = config.fields.get("quantization_config")
    return found if isinstance(found, Mapping) else {}


def _is_count(number: float) -> bool:
    if isinstance(number, bool) or not 0 < number <= _MOST_PARAMETERS:
        return False
    return number == int(number)
