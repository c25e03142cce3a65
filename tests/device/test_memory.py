"""Memory of the backends: policies, the buffer protocol, release; and how a backend is made."""

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

from kvprof import _core


def test_numpy_sees_the_bytes_without_a_copy(backend: _core.CpuBackend) -> None:
    memory = backend.allocate(4096)
    words = np.frombuffer(memory, np.uint64)
    words[3] = 0x0102030405060708
    assert bytes(np.frombuffer(memory, np.uint8)[24:32]) == bytes(range(8, 0, -1))
    view = memoryview(memory)
    assert (view.format, view.nbytes, view.readonly) == ("B", 4096, False)


def test_release_waits_for_the_last_view(backend: _core.CpuBackend) -> None:
    memory = backend.allocate(4096)
    view, array = memoryview(memory), np.frombuffer(memory, np.uint8)
    with pytest.raises(BufferError, match="2 views"):
        memory.release()
    view.release()
    with pytest.raises(BufferError, match="1 views"):
        memory.release()
    del array
    gc.collect()
    memory.release()
    memory.release()


def test_a_view_keeps_the_memory(backend: _core.CpuBackend) -> None:
    memory = backend.allocate(4096)
    array = np.frombuffer(memory, np.uint8)
    backend.fill(memory, 0, 4096, 5)
    before = array.copy()
    del memory
    gc.collect()
    np.testing.assert_array_equal(array, before)


def test_released_memory_is_refused(backend: _core.CpuBackend) -> None:
    memory = backend.allocate(4096)
    memory.release()
    with pytest.raises(ValueError, match="released"):
        backend.fill(memory, 0, 8, 1)
    with pytest.raises(ValueError, match="released"):
        _ = memory.nbytes
    with pytest.raises(BufferError, match="released"):
        memoryview(memory)


@pytest.mark.parametrize("policy", ["huge_pages", "plain"])
def test_memory_is_aligned_and_knows_its_policy(backend: _core.CpuBackend, policy: str) -> None:
    memory = backend.allocate(3 << 20, policy)  # type: ignore[arg-type]
    assert (memory.nbytes, memory.policy) == (3 << 20, policy)
    address = np.frombuffer(memory, np.uint8).ctypes.data
    assert address % (2 << 20) == 0


def test_bad_allocations_are_refused(backend: _core.CpuBackend) -> None:
    with pytest.raises(MemoryError, match=f"cannot allocate {2**50} bytes"):
        backend.allocate(2**50)
    with pytest.raises(ValueError, match="nbytes is 0"):
        backend.allocate(0)
    with pytest.raises(ValueError, match="policy is 'vmm'"):
        backend.allocate(4096, "vmm")  # type: ignore[arg-type]


def test_facts_are_those_of_this_machine(backend: _core.CpuBackend) -> None:
    facts = backend.facts
    assert facts.name
    assert facts.backend == "cpu"
    assert facts.compute_units == len(backend.cpus)
    assert facts.memory_bytes > facts.last_level_cache_bytes > 0
    assert facts.bus_peak_bytes_per_s is None


def test_bad_cpus_are_refused() -> None:
    cpu = _core.CpuBackend().cpus[0]
    with pytest.raises(ValueError, match="cpus is empty"):
        _core.CpuBackend([])
    with pytest.raises(ValueError, match=f"CPU {cpu} is named twice"):
        _core.CpuBackend([cpu, cpu])
    with pytest.raises(ValueError, match="CPU 1000000 may not be used"):
        _core.CpuBackend([1_000_000])


def test_an_unknown_instruction_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVPROF_INSTRUCTION_SET", "mmx")
    with pytest.raises(ValueError, match=r"KVPROF_INSTRUCTION_SET is 'mmx', this CPU runs: base"):
        _core.CpuBackend()


def test_callers_in_several_threads_are_served_in_turn(backend: _core.CpuBackend) -> None:
    memory = backend.allocate(1 << 20)
    variant = backend.ceiling_variants("read")[0]
    backend.fill(memory, 0, memory.nbytes, 1)
    expected = backend.ceiling(memory, "read", variant, 0, memory.nbytes).checksum
    sums: list[int] = []

    def read() -> None:
        passes = (backend.ceiling(memory, "read", variant, 0, memory.nbytes) for _ in range(20))
        sums.extend(result.checksum for result in passes)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(sums) == {expected}
    assert len(sums) == 60


FORK = """
import os
from kvprof import _core
backend = _core.CpuBackend()
memory = backend.allocate(4096)
child = os.fork()
if child == 0:
    try:
        backend.fill(memory, 0, 4096, 1)
    except RuntimeError:
        del backend
        _core.CpuBackend().fill(memory, 0, 4096, 1)
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_forked_child_is_told_to_make_its_own_backend() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
