"""A config in, the same with the sizes that it leaves to the library's class filled in.

What a config leaves out the class has at full size, so that it could not be made small otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvprof.against.library_model import known_class, of_json
from kvprof.against.shrink import SIZES, is_special_token


def complete(document: Mapping[str, Any], transformers: Any) -> dict[str, Any]:
    """A config.json with every size and special token of the library's class, its own as they are.

    Parameters
    ----------
    document
        The decoded config.json; it is not changed.
    transformers
        The library.

    Raises
    ------
    Exception
        Whatever the library's class raises of the fields.
    """
    return _complete(document, {}, transformers)


def _complete(
    section: Mapping[str, Any], read_outside: Mapping[str, Any], transformers: Any
) -> dict[str, Any]:
    class_ = known_class(section, transformers)
    read = class_.from_dict(of_json(section)).to_dict() if class_ else read_outside
    inner = {
        name: _complete(value, _section(read, name), transformers)
        for name, value in section.items()
        if isinstance(value, Mapping)
    }
    filled = {n: v for n, v in read.items() if section.get(n) is None and _is_size(n, v)}
    return {**section, **inner, **filled}


def _section(read: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = read.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _is_size(name: str, value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and (name in SIZES or is_special_token(str(name)))
