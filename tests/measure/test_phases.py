"""Phases are ranges of the CUDA module, which a profile of the CPU does not load."""

from __future__ import annotations

import sys

import pytest

from kvprof.measure.phases import phase


def test_nothing_happens_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "kvprof._cuda", raising=False)
    with phase("anything", 5):
        assert "kvprof._cuda" not in sys.modules
