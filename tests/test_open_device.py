"""Devices by name, and what a failing one looks like to whoever runs a verb."""

from __future__ import annotations

import pytest

from kvprof.__main__ import _explain
from kvprof._core import BlockPool, CpuBackend, DeviceFault, OutOfBlocks
from kvprof.commands import Session
from kvprof.device import device_rows, open_device
from kvprof.device.failures import explained
from kvprof.errors import DeviceError, UsageError


def test_the_cpu_is_opened_on_the_cpus_asked_for() -> None:
    cpu = open_device("cpu").cpus[0]
    backend = open_device("cpu", [cpu])
    assert (backend.cpus, backend.facts.backend) == ([cpu], "cpu")


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", "cuda:-1", ""])
def test_a_name_that_is_no_device(name: str) -> None:
    with pytest.raises(UsageError, match="which is no device"):
        open_device(name)


def test_a_cuda_device_has_no_threads_to_choose() -> None:
    with pytest.raises(UsageError, match="--threads and --cpus"):
        open_device("cuda", [0])


@pytest.mark.parametrize("name", ["cuda:9999", "cuda:99999999999999999999"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(DeviceError, match=f"^{name} ") as refused:
        open_device(name, blocking=False)
    assert refused.value.exit_code == 3


def test_where_there_is_no_device_the_reason_is_given() -> None:
    rows = [row for row in device_rows() if row.backend == "cuda"]
    if rows[0].available:
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(DeviceError) as refused:
        open_device("cuda")
    assert rows[0].description in str(refused.value)


@pytest.fixture(scope="module")
def backend() -> CpuBackend:
    return CpuBackend()


def test_a_device_that_fails_is_the_environments_fault(backend: CpuBackend) -> None:
    with (
        pytest.raises(DeviceError, match="the device failed: an illegal") as said,
        explained(backend),
    ):
        raise DeviceFault("an illegal address was accessed")
    assert said.value.exit_code == 3
    assert "kvprof doctor" in str(said.value)


def test_too_little_memory_is_explained(backend: CpuBackend) -> None:
    with (
        pytest.raises(DeviceError, match=r"out of memory: 4 GiB cannot be had") as refused,
        explained(backend),
    ):
        raise MemoryError("4 GiB cannot be had")
    assert "--stream-memory" in str(refused.value)
    assert "what else uses the device" not in str(refused.value)


def test_a_pool_without_blocks_is_no_lack_of_memory(backend: CpuBackend) -> None:
    with pytest.raises(OutOfBlocks), explained(backend):
        BlockPool(1).allocate(2)


def test_a_host_without_memory_is_the_environments_fault_too(capsys: pytest.CaptureFixture) -> None:
    assert _explain(MemoryError("unable to allocate 9 TiB"), Session()) == 3
    assert capsys.readouterr().err.startswith("kvprof: error: out of memory: unable to allocate")
