"""What the system says of CPUs and of a mapping: against a mapping whose pages we know."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kvprof import cpus
from kvprof._core import CpuBackend
from kvprof.cpus import cpus_for, node_of, usable_cpus
from kvprof.errors import UsageError
from kvprof.host import huge_page_bytes, node_bytes

MIB = 2**20


def test_pages_of_a_memory_are_counted_apart_from_its_neighbours() -> None:
    backend = CpuBackend()
    memories = [backend.allocate(8 * MIB, "plain") for _ in range(3)]
    addresses = [np.asarray(memoryview(memory)).ctypes.data for memory in memories]
    if node_bytes(addresses[1]) is None:
        pytest.skip("this system has no /proc/self/numa_maps")
    assert sum((node_bytes(addresses[1]) or {}).values()) == 0
    backend.fill(memories[1], 0, 3 * MIB, 1)
    assert sum((node_bytes(addresses[1]) or {}).values()) == 3 * MIB
    assert sum((node_bytes(addresses[2]) or {}).values()) == 0
    assert huge_page_bytes(addresses[1]) == 0


def test_what_is_no_mapping_is_not_known() -> None:
    assert huge_page_bytes(1) is None
    assert node_bytes(1) is None


def test_threads_are_given_usable_cpus() -> None:
    usable = usable_cpus()
    assert usable == CpuBackend().cpus
    assert cpus_for(len(usable)) == usable
    assert set(cpus_for(1)) <= set(usable)
    with pytest.raises(UsageError, match=f"--threads is {len(usable) + 1}"):
        cpus_for(len(usable) + 1)


def test_cores_come_before_their_second_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four cores of two threads each, on two nodes: CPUs 0-3, and 4-7 their siblings."""
    for cpu in range(8):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
        (tmp_path / f"cpu{cpu}" / f"node{cpu % 2}").mkdir()
    monkeypatch.setattr(cpus, "_CPUS", tmp_path)
    monkeypatch.setattr(cpus, "usable_cpus", lambda: list(range(8)))
    assert [node_of(cpu) for cpu in range(4)] == [0, 1, 0, 1]
    assert cpus_for(2) == [0, 2]  # of one node
    assert cpus_for(4) == [0, 1, 2, 3]
    assert cpus_for(6) == [0, 1, 2, 3, 4, 6]


UNLOCKED = """
import os, resource, sys
from kvprof import _core
from kvprof.measure.pool import open_pool

def pool():
    backend = _core.CpuBackend()
    return open_pool(backend, 64 << 20, seed=1, touch_seconds=1, progress=lambda *_: None)

pool()  # all is imported now: another user may not be able to read Python's files
if os.geteuid() == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)  # and with it the right to lock whatever the limit says
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
print(pool().placed.lock_refused)
"""


def test_a_pool_that_cannot_be_locked_works_and_says_why() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNLOCKED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() not in ("", "None")
    assert os.strerror(12) in done.stdout or os.strerror(1) in done.stdout
