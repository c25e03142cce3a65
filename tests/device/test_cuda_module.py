"""The CUDA module: says what there is, or why there is nothing, and imports everywhere."""

import gc
import subprocess
import sys

import pytest

from kvprof import _core

_cuda = pytest.importorskip("kvprof._cuda", reason="built without CUDA")

REASON = _cuda.unavailable_reason()
needs_device = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def test_either_there_is_a_device_or_a_reason() -> None:
    assert (_cuda.device_count() > 0) == (REASON is None)
    assert REASON is None or REASON.strip()


def test_without_a_driver_the_reason_says_so() -> None:
    if _cuda.driver_version() is None:
        assert REASON == "no NVIDIA driver is installed on this machine"


def test_the_runtime_compiles_for_every_architecture_that_is_built() -> None:
    # sm_100 needs CUDA 12.8.
    assert _cuda.runtime_version() >= (12, 8)


def test_a_device_that_is_not_there_is_refused() -> None:
    for index in (-1, _cuda.device_count()):
        with pytest.raises(IndexError, match=f"no CUDA device {index}: "):
            _cuda.device_facts(index)


@pytest.mark.parametrize("order", ["_core, _cuda", "_cuda, _core", "_cuda"])
def test_both_modules_share_their_types_in_whatever_order(order: str) -> None:
    code = f"""
from kvprof import {order}
import sys
core = sys.modules["kvprof._core"]
assert issubclass(_cuda.CudaBackend, core.Backend)
assert not hasattr(_cuda, "DeviceFacts")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_backend_of_a_device_that_is_not_there_is_refused() -> None:
    count = _cuda.device_count()
    for index in (-1, count):
        with pytest.raises(IndexError, match=f"no CUDA device {index}: "):
            _cuda.CudaBackend(index)


@pytest.mark.gpu
@needs_device
def test_facts_of_a_device() -> None:
    facts = _cuda.device_facts(0)
    assert type(facts) is _core.DeviceFacts
    assert facts.name
    assert facts.backend == "cuda"
    assert facts.instruction_set.startswith("sm_")
    assert facts.compute_units > 0
    assert facts.memory_bytes > facts.last_level_cache_bytes > 0
    # HBM or GDDR, of any GPU since sm_80: 0.1 to 20 TB/s.
    assert 1e11 < facts.bus_peak_bytes_per_s < 2e13


@pytest.mark.gpu
@needs_device
@pytest.mark.parametrize("blocking", [True, False])
def test_a_backend_is_its_device(blocking: bool) -> None:
    backend = _cuda.CudaBackend(index=0, blocking=blocking)
    assert isinstance(backend, _core.Backend)
    known = _cuda.device_facts(0)
    for fact in (
        "name",
        "backend",
        "instruction_set",
        "compute_units",
        "memory_bytes",
        "last_level_cache_bytes",
        "bus_peak_bytes_per_s",
    ):
        assert getattr(backend.facts, fact) == getattr(known, fact)
    # It has no threads of its own on the host.
    assert (backend.cpus, backend.pinned) == ([], [])


@pytest.mark.gpu
@needs_device
@pytest.mark.parametrize("blocking", [True, False])
def test_every_pass_is_timed(blocking: bool) -> None:
    backend = _cuda.CudaBackend(blocking=blocking)
    memory = backend.allocate(1 << 20)
    for kind in ("read", "write", "copy", "rmw"):
        for variant in backend.ceiling_variants(kind):
            result = backend.ceiling(memory, kind, variant, 0, memory.nbytes)
            assert result.seconds > 0
            assert (result.interruptions, result.lost_seconds) == (0, 0)
            # Of any GPU; 0 where the driver does not tell.
            assert result.clock_hz == 0 or 1e8 < result.clock_hz < 5e9


@pytest.mark.gpu
@needs_device
def test_a_memory_outlives_its_backend() -> None:
    backend = _cuda.CudaBackend()
    memory = backend.allocate(4096)
    memory.write(0, bytes(range(256)) * 16)
    del backend
    gc.collect()
    assert memory.read(256, 256).tolist() == list(range(256))
    memory.release()
