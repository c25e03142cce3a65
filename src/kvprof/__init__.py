"""kvprof: profile the inference memory of language models.

What the public API offers is imported on first use::

    from kvprof import Request, catalogue_model, engine, size_model

    model = catalogue_model("deepseek-v3")
    result = size_model(model, engine("paged"), Request(tokens=4096, sequences=8))
    print(result.bytes.per_token, result.waste["tail"])
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
    "Model": "kvprof.model",
    "ModelConfig": "kvprof.config",
    "Request": "kvprof.size",
    "catalogue_model": "kvprof.model",
    "config_model": "kvprof.model",
    "engine": "kvprof.registry",
    "hookimpl": "kvprof.hookspecs",
    "lay_out": "kvprof.model",
    "open_device": "kvprof.device",
    "read_config": "kvprof.config_file",
    "reference_model": "kvprof.model",
    "size_model": "kvprof.size",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
