"""The guards of a device's memories: intact until something writes beside one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import pytest

from kvprof import _core

from .subjects import Subject

Poke = Callable[[int, int], None]


def address_of(memory: _core.Memory) -> int:
    address: int = memory.__cuda_array_interface__["data"][0]
    return address


@pytest.fixture
def poke(cuda: Subject) -> Iterator[Poke]:
    """Write one byte to an address of the device, past what kvprof would ever write."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        # No driver, so the device is emulated, in memory of the host.
        yield lambda address, value: ctypes.memset(address, value, 1) and None
        return

    def call(function: str, *arguments: object) -> None:
        assert getattr(driver, function)(*arguments) == 0, function

    context, device = ctypes.c_void_p(), ctypes.c_int()
    call("cuInit", 0)
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxPushCurrent_v2", context)
    yield lambda address, value: call("cuMemsetD8_v2", ctypes.c_uint64(address), value, 1)
    call("cuCtxPopCurrent_v2", ctypes.byref(context))
    call("cuDevicePrimaryCtxRelease_v2", device)


@pytest.mark.parametrize("nbytes", [1, 4096, 4099, (2 << 20) - 1, 2 << 20])
@pytest.mark.parametrize("side", ["before", "behind"])
def test_a_byte_beside_a_memory_is_noticed(
    cuda: Subject, poke: Poke, nbytes: int, side: str
) -> None:
    memory = cuda.backend.allocate(nbytes, cuda.policy)
    last = nbytes - 1
    for offset in (0, last):
        poke(address_of(memory) + offset, 0x11)
        assert memory.read(offset, 1).tolist() == [0x11]
        assert memory.guards_intact()
    # One of the two differs from what the guard holds.
    outside = -1 if side == "before" else nbytes
    noticed = []
    for value in (0x11, 0x12):
        poke(address_of(memory) + outside, value)
        noticed.append(not memory.guards_intact())
    assert any(noticed)


def test_the_guards_of_pinned_memory_are_intact(cuda: Subject) -> None:
    memory = cuda.backend.allocate_host(4099)
    memory.write(0, bytes(4099))
    assert memory.guards_intact()
