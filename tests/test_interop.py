"""Memories as arrays of other libraries: the same bytes, or a reason that says what to install."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from kvprof._core import CpuBackend
from kvprof.device import device_rows, open_device
from kvprof.errors import DeviceError, UsageError
from kvprof.interop import _cupy, as_cupy


def test_memory_of_the_host_is_numpys() -> None:
    memory = CpuBackend().allocate(4096)
    with pytest.raises(UsageError, match="on the host") as refused:
        as_cupy(memory)
    assert "numpy.asarray(memory)" in str(refused.value)
    view = np.asarray(memory)
    view[5] = 7
    assert memory.read(5, 1)[0] == np.from_dlpack(memory)[5] == 7


def test_without_cupy_the_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match="CuPy") as refused:
        _cupy()
    assert all(f"kvprof[{extra}]" in str(refused.value) for extra in ("cuda12", "cuda13"))


@pytest.mark.gpu
def test_an_array_of_cupy_is_the_memory_itself() -> None:
    if not any(row.backend == "cuda" and row.available for row in device_rows()):
        pytest.skip("this machine has no CUDA device")
    if find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    device = open_device("cuda")
    memory = device.allocate(2**20)
    device.fill(memory, 0, 2**20, 3)
    array = as_cupy(memory)
    assert (array.shape, str(array.dtype)) == ((2**20,), "uint8")
    assert np.array_equal(array.get(), memory.read(0, 2**20))
    array[:100] = 42
    array.device.synchronize()
    assert set(memory.read(0, 100).tolist()) == {42}
    with pytest.raises(BufferError):
        memory.release()
    del array
    memory.release()
