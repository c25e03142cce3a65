"""A config in, the same with the sizes that it leaves to the library's class filled in.

What a config leaves out the class has at full size, so that it could not be made small otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvprof.against.roles import DEPTHS
from kvprof.against.runnable_model import known_class, of_json
from kvprof.against.shrink import SIZES, is_of_an_encoder, is_special_token


def complete(
    section: Mapping[str, Any], chosen: Mapping[str, Any], transformers: Any
) -> dict[str, Any]:
    """A config.json with every size and special token of the library's class, its own as they are.

    Parameters
    ----------
    section
        The decoded config.json; it is not changed.
    chosen
        The section of it that is run, or itself: what is around it the library need not know.
    transformers
        The library.

    Raises
    ------
    Exception
        Whatever the library's class raises of the fields.
    """
    if section is chosen:
        return _filled(section, {}, transformers)
    inner = {n: complete(v, chosen, transformers) for n, v in section.items() if _is_section(v)}
    return {**section, **inner}


def _filled(
    section: Mapping[str, Any], read_outside: Mapping[str, Any], transformers: Any
) -> dict[str, Any]:
    class_ = known_class(section, transformers)
    read = class_.from_dict(of_json(section)).to_dict() if class_ else read_outside
    encoders = {
        name: _with_depth(section.get(name) or {}, value)
        for name, value in read.items()
        if _is_section(value) and is_of_an_encoder(name)
    }
    inner = {
        name: _filled(value, read.get(name) or {}, transformers)
        for name, value in section.items()
        if _is_section(value) and name not in encoders
    }
    sizes = {n: v for n, v in read.items() if section.get(n) is None and _is_size(n, v)}
    return {**section, **inner, **encoders, **sizes}


def _with_depth(section: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
    """A section of an encoder, whose number of layers is all that is made smaller."""
    return {n: v for n, v in read.items() if n in (*DEPTHS, "model_type")} | dict(section)


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_size(name: Any, value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and (name in SIZES or is_special_token(str(name)))
