"""Memory as others take it, without a copy: DLPack and __cuda_array_interface__."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from kvprof import _core

from .checks import random_bytes
from .model import assert_same
from .subjects import Subject

CPU, CUDA, CUDA_HOST = 1, 2, 3  # DLPack's device types


@pytest.fixture
def host_memory(backend: _core.Backend) -> _core.Memory:
    """Memory that the host can address, whoever the backend is."""
    memory = backend.allocate_host(4099)
    memory.write(0, random_bytes(4099, 1))
    return memory


def test_dlpack_names_the_device(
    backend: _core.Backend, policy: str, host_memory: _core.Memory
) -> None:
    memory = backend.allocate(64, policy)
    if backend.facts.backend == "cpu":
        assert memory.__dlpack_device__() == host_memory.__dlpack_device__() == (CPU, 0)
    else:
        assert memory.__dlpack_device__() == (CUDA, 0)
        assert host_memory.__dlpack_device__() == (CUDA_HOST, 0)


def test_numpy_takes_the_bytes_without_a_copy(host_memory: _core.Memory) -> None:
    array = np.from_dlpack(host_memory)
    assert (array.dtype, array.shape) == (np.dtype(np.uint8), (4099,))
    assert_same(array, random_bytes(4099, 1))
    assert array.ctypes.data == np.frombuffer(host_memory, np.uint8).ctypes.data
    host_memory.write(7, bytes([array[7] ^ 0xFF]))
    assert array[7] == host_memory.read(7, 1)[0]


def test_an_array_keeps_the_memory(backend: _core.Backend) -> None:
    memory = backend.allocate_host(1 << 16)
    held = random_bytes(1 << 16, 2)
    memory.write(0, held)
    array = np.from_dlpack(memory)
    del memory
    gc.collect()
    for other in [backend.allocate_host(1 << 16) for _ in range(3)]:
        other.write(0, bytes(1 << 16))
    assert_same(array, held)


def test_release_waits_for_the_last_array(backend: _core.Backend) -> None:
    memory = backend.allocate_host(4099)
    first, second = np.from_dlpack(memory), np.from_dlpack(memory)
    with pytest.raises(BufferError, match="2 views"):
        memory.release()
    del first
    gc.collect()
    with pytest.raises(BufferError, match="1 views"):
        memory.release()
    assert second[0] == memory.read(0, 1)[0]
    del second
    gc.collect()
    memory.release()


def test_buffers_and_arrays_are_counted_alike(backend: _core.Backend) -> None:
    memory = backend.allocate_host(4099)
    array, view = np.from_dlpack(memory), memoryview(memory)
    with pytest.raises(BufferError, match="2 views"):
        memory.release()
    del array
    view.release()
    gc.collect()
    memory.release()


def test_a_capsule_that_nobody_took_holds_the_memory_while_it_lives(
    backend: _core.Backend, policy: str
) -> None:
    memory = backend.allocate(4099, policy)
    capsules = [memory.__dlpack__(), memory.__dlpack__(stream=None, max_version=(1, 0), copy=False)]
    with pytest.raises(BufferError, match="2 views"):
        memory.release()
    capsules.clear()
    gc.collect()
    memory.release()


def test_a_copy_is_refused(backend: _core.Backend, policy: str) -> None:
    memory = backend.allocate(4099, policy)
    with pytest.raises(BufferError, match="without a copy"):
        memory.__dlpack__(copy=True)
    memory.release()


def test_memory_of_the_host_has_no_cuda_interface(host_memory: _core.Memory) -> None:
    assert not hasattr(host_memory, "__cuda_array_interface__")
    with pytest.raises(AttributeError, match="buffer protocol"):
        _ = host_memory.__cuda_array_interface__


def test_memory_of_a_device_has_no_buffer(cuda: Subject) -> None:
    memory = cuda.backend.allocate(4099, cuda.policy)
    with pytest.raises(BufferError, match="lies on a device"):
        memoryview(memory)
    memory.release()


@pytest.mark.parametrize("nbytes", [1, 255, 4099, 3 << 20])
def test_the_cuda_interface_is_that_of_version_3(cuda: Subject, nbytes: int) -> None:
    memory = cuda.backend.allocate(nbytes, cuda.policy)
    interface: dict[str, Any] = memory.__cuda_array_interface__
    address, read_only = interface.pop("data")
    assert address > 0
    assert address % 256 == 0
    assert read_only is False
    # Operations are done when they return: no stream to wait for.
    assert interface == {
        "shape": (nbytes,),
        "typestr": "|u1",
        "strides": None,
        "stream": None,
        "version": 3,
    }


@pytest.mark.parametrize("protocol", ["asarray", "from_dlpack"])
def test_cupy_takes_the_bytes_without_a_copy(cuda: Subject, protocol: str) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    memory = cuda.backend.allocate(4099, cuda.policy)
    held = random_bytes(4099, 1)
    memory.write(0, held)
    array = getattr(cupy, protocol)(memory)
    assert (array.dtype, array.shape) == (np.dtype(np.uint8), (4099,))
    assert array.data.ptr == memory.__cuda_array_interface__["data"][0]
    assert_same(cupy.asnumpy(array), held)
    array[7] ^= 0xFF
    cupy.cuda.Device(0).synchronize()
    held[7] ^= 0xFF
    assert_same(memory.read(0, 4099), held)
    if protocol == "from_dlpack":
        with pytest.raises(BufferError, match="1 views"):
            memory.release()
        del array
        gc.collect()
        memory.release()
