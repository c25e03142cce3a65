"""Devices by name, and what a failing one looks like to whoever runs a verb."""

from __future__ import annotations

import pytest

from kvprof.__main__ import _explain
from kvprof._core import DeviceFault
from kvprof.commands import Session
from kvprof.device import device_rows, open_device
from kvprof.errors import DeviceError, UsageError

PROFILE = ("kvprof", "profile", "--arch", "mla")


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


def test_a_device_that_fails_is_the_environments_fault(capsys: pytest.CaptureFixture) -> None:
    assert _explain(DeviceFault("an illegal address was accessed"), Session(argv=PROFILE)) == 3
    message = capsys.readouterr().err
    assert message.startswith("kvprof: error: the device failed: an illegal address")
    assert "internal" not in message


@pytest.mark.parametrize(("device", "others"), [("cpu", False), ("cuda:0", True)])
def test_too_little_memory_is_explained_for_the_device(
    capsys: pytest.CaptureFixture, device: str, others: bool
) -> None:
    session = Session(argv=(*PROFILE, "--device", device))
    assert _explain(MemoryError("4 GiB cannot be allocated"), session) == 3
    message = capsys.readouterr().err
    assert "4 GiB cannot be allocated" in message
    assert ("what else uses the device" in message) is others
