"""The CUDA module: says what there is, or why there is nothing, and imports everywhere."""

import subprocess
import sys

import pytest

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


def test_both_modules_bind_their_facts_in_one_process() -> None:
    code = "from kvprof import _core, _cuda; assert _core.DeviceFacts is not _cuda.DeviceFacts"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@needs_device
def test_facts_of_a_device() -> None:
    facts = _cuda.device_facts(0)
    assert facts.backend == "cuda"
    assert facts.instruction_set.startswith("sm_")
    assert facts.memory_bytes > facts.last_level_cache_bytes > 0
    # HBM or GDDR, of any GPU since sm_80: 0.1 to 20 TB/s.
    assert 1e11 < facts.bus_peak_bytes_per_s < 2e13
