"""Writes GGUF files with the gguf package, as the converters of llama.cpp do."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]
_write_gguf: Write = runpy.run_path(str(Path(__file__).with_name("models.py")))["write_gguf"]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(architecture, keys, name="model.gguf", ...)``: `write_gguf` of `models.py`."""

    def call(
        architecture: str, keys: Mapping[str, Any], *, name: str = "model.gguf", **more: Any
    ) -> Path:
        return _write_gguf(tmp_path / name, architecture, keys, **more)

    return call
