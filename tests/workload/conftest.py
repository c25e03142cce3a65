"""Traces that are written by hand."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from kvprof.workload.trace import open_trace

from .rows import Row, rows_of


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes under a name; compressed where the name says so."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def read() -> Callable[..., list[Row]]:
    """The rows of a trace."""

    def read(*paths: Path, **options: object) -> list[Row]:
        with open_trace(paths, **options) as trace:
            return rows_of(trace)

    return read
