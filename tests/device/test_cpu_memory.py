"""Memory of the CPU backends: the buffer protocol, pages, locks, guard pages."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kvprof import _core


def test_numpy_sees_the_bytes_without_a_copy(cpu_backend: _core.Backend) -> None:
    memory = cpu_backend.allocate(4096)
    words = np.frombuffer(memory, np.uint64)
    words[3] = 0x0102030405060708
    assert bytes(np.frombuffer(memory, np.uint8)[24:32]) == bytes(range(8, 0, -1))
    view = memoryview(memory)
    assert (view.format, view.nbytes, view.readonly) == ("B", 4096, False)


def test_release_waits_for_the_last_view(cpu_backend: _core.Backend) -> None:
    memory = cpu_backend.allocate(4096)
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


def test_a_view_keeps_the_memory(cpu_backend: _core.Backend) -> None:
    memory = cpu_backend.allocate(4096)
    array = np.frombuffer(memory, np.uint8)
    cpu_backend.fill(memory, 0, 4096, 5)
    before = array.copy()
    del memory
    gc.collect()
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("policy", ["huge_pages", "plain"])
def test_memory_is_aligned_and_knows_its_policy(cpu_backend: _core.Backend, policy: str) -> None:
    memory = cpu_backend.allocate(3 << 20, policy)
    assert (memory.nbytes, memory.policy) == (3 << 20, policy)
    address = np.frombuffer(memory, np.uint8).ctypes.data
    assert address % (2 << 20) == 0


def locked_bytes(address: int) -> int:
    """What the system says of the mapping that starts there."""
    mappings = Path("/proc/self/smaps").read_text().splitlines()
    start = next(i for i, line in enumerate(mappings) if line.startswith(f"{address:x}-"))
    locked = next(line for line in mappings[start:] if line.startswith("Locked:"))
    return int(locked.split()[1]) * 1024


sanitizers_ignore_mlock = pytest.mark.skipif(
    "KVPROF_SANITIZER" in os.environ, reason="sanitizers replace mlock by nothing"
)


@sanitizers_ignore_mlock
def test_a_lock_is_what_the_system_has(cpu_backend: _core.Backend) -> None:
    memory = cpu_backend.allocate(32_768, "plain")
    address = np.frombuffer(memory, np.uint8).ctypes.data
    assert locked_bytes(address) == 0
    reason = memory.lock(memory.nbytes)
    if reason is not None:
        pytest.skip(f"this system locks no 32 KiB: {reason}")
    assert locked_bytes(address) == 32_768
    memory.release()
    with pytest.raises(ValueError, match="released"):
        memory.lock(memory.nbytes)


# The module first: another user may not be allowed to read where it is installed.
UNLOCKABLE = """
import os, resource
from kvprof import _core
backend = _core.CpuBackend()
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)  # root may lock beyond any limit
memory = backend.allocate(4096)
print(memory.lock(memory.nbytes))
assert backend.fill(memory, 0, 4096, 1) > 0
"""


@sanitizers_ignore_mlock
def test_a_lock_that_is_refused_says_why_and_the_memory_works() -> None:
    command = [sys.executable, "-c", UNLOCKABLE]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    # ENOMEM where some may be locked, EPERM where nothing may.
    assert ran.stdout.strip() in {os.strerror(12), os.strerror(1)}


TOUCH = """
import ctypes, resource, sys
from kvprof import _core
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
memory = _core.CpuBackend().allocate(8192, sys.argv[1])
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
byte = ctypes.c_ubyte.from_address(start + int(sys.argv[2]))
if sys.argv[3] == "read":
    byte.value
else:
    byte.value = 1
"""


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize("policy", ["huge_pages", "plain"])
@pytest.mark.parametrize(
    ("offset", "inside"), [(-1, False), (0, True), (8191, True), (8192, False)]
)
def test_nothing_beside_a_memory_can_be_touched(
    policy: str, offset: int, inside: bool, access: str
) -> None:
    # A sanitizer would catch the signal and end with a report.
    options = {
        f"{name}_OPTIONS": os.environ.get(f"{name}_OPTIONS", "") for name in ("ASAN", "TSAN")
    }
    environment = os.environ | {name: f"{held}:handle_segv=0" for name, held in options.items()}
    command = [sys.executable, "-c", TOUCH, policy, str(offset), access]
    ran = subprocess.run(command, env=environment, check=False, timeout=60)
    assert ran.returncode == (0 if inside else -signal.SIGSEGV)
