"""kvprof: profile the inference memory of language models.

The public API, imported on first use::

    from kvprof import ModelConfig, read_config, size_model

    for result in size_model(model, engine, tokens=[4096, 131072]): ...
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Cache": "kvprof.layout",
    "CacheLayout": "kvprof.layout",
    "Field": "kvprof.layout",
    "KvprofError": "kvprof.errors",
    "ModelConfig": "kvprof.config",
    "read_config": "kvprof.config",
    "hookimpl": "kvprof.hookspecs",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
