"""The guards of a device's memories: intact until something writes beside one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvprof import _core

from .subjects import Subject

Poke = Callable[[int, int], bool]


def address_of(memory: _core.Memory) -> int:
    address: int = memory.__cuda_array_interface__["data"][0]
    return address


def poke_host(address: int, value: int) -> bool:
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions = line.split()[:2]
        begin, end = (int(border, 16) for border in span.split("-"))
        if begin <= address < end and "w" in permissions:
            ctypes.memset(address, value, 1)
            return True
    return False


@pytest.fixture
def poke(cuda: Subject) -> Iterator[Poke]:
    """Write a byte to an address of the device, as kvprof never would; tell whether it let that."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        yield poke_host  # no driver, so the device is emulated, in memory of the host
        return

    def call(function: str, *arguments: object) -> None:
        assert getattr(driver, function)(*arguments) == 0, function

    def poke_device(address: int, value: int) -> bool:
        status: int = driver.cuMemsetD8_v2(
            ctypes.c_uint64(address), ctypes.c_ubyte(value), ctypes.c_size_t(1)
        )
        if status == 0:
            call("cuCtxSynchronize")
        return status == 0

    context, device = ctypes.c_void_p(), ctypes.c_int()
    call("cuInit", 0)
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxPushCurrent_v2", context)
    yield poke_device
    call("cuCtxPopCurrent_v2", ctypes.byref(context))
    call("cuDevicePrimaryCtxRelease_v2", device)


@pytest.mark.parametrize("nbytes", [1, 4096, 4099, (2 << 20) - 1, 2 << 20])
@pytest.mark.parametrize("side", ["before", "behind"])
def test_a_byte_beside_a_memory_is_noticed(
    cuda: Subject, poke: Poke, nbytes: int, side: str
) -> None:
    memory = cuda.backend.allocate(nbytes, cuda.policy)
    for offset in (0, nbytes - 1):
        assert poke(address_of(memory) + offset, 0x11)
        assert memory.read(offset, 1).tolist() == [0x11]
        assert memory.guards_intact()
    outside = address_of(memory) + (-1 if side == "before" else nbytes)
    noticed = []
    for value in (0x11, 0x12):  # one of them is not what the guard holds
        written = poke(outside, value)
        noticed.append(not written or not memory.guards_intact())
    assert any(noticed)


def test_the_guards_of_pinned_memory_are_intact(cuda: Subject) -> None:
    memory = cuda.backend.allocate_host(4099)
    memory.write(0, bytes(4099))
    assert memory.guards_intact()
