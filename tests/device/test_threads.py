"""The threads of a backend: where they run, who may call them, what they say of a pass."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from kvprof import _core


def test_facts_are_those_of_this_machine(cpu_backend: _core.Backend) -> None:
    facts = cpu_backend.facts
    assert facts.name
    assert facts.backend == "cpu"
    assert facts.compute_units == len(cpu_backend.cpus)
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


def test_callers_in_several_threads_are_served_in_turn(backend: _core.Backend) -> None:
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


def test_each_thread_is_pinned_to_its_cpu(cpu_backend: _core.Backend) -> None:
    assert len(cpu_backend.pinned) == len(cpu_backend.cpus)
    allowed = [
        re.search(r"^Cpus_allowed_list:\s*(.*)$", task.read_text(), re.MULTILINE)
        for task in Path("/proc/self/task").glob("*/status")
    ]
    found = [match[1] for match in allowed if match]
    for cpu, pinned in zip(cpu_backend.cpus, cpu_backend.pinned, strict=True):
        assert not pinned or str(cpu) in found


def test_every_pass_tells_interruptions_and_a_clock(cpu_backend: _core.Backend) -> None:
    memory = cpu_backend.allocate(1 << 20)
    cpu_backend.fill(memory, 0, memory.nbytes, 1)
    for kind in ("read", "write", "copy", "rmw"):
        for variant in cpu_backend.ceiling_variants(kind):
            result = cpu_backend.ceiling(memory, kind, variant, 0, memory.nbytes)
            assert result.seconds > 0
            # Any CPU of these years; 0 would be one that does not know.
            assert 1e8 < result.clock_hz < 2e10


# Ends with its parent, should that be killed.
SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
print("spinning", flush=True)
parent = os.getppid()
while os.getppid() == parent:
    pass
"""


def test_a_thread_that_must_share_its_cpu_counts_interruptions() -> None:
    cpu = _core.CpuBackend().cpus[0]
    backend = _core.CpuBackend([cpu])
    memory = backend.allocate(1 << 20)
    backend.fill(memory, 0, memory.nbytes, 1)
    # 512 MiB, some tens of milliseconds: longer than any scheduler lets one of two run.
    runs = np.array([(0, 0, 1)] * 512, np.uint32)
    plan = _core.PagePlan(
        base_bytes=0,
        layer_stride_bytes=0,
        block_stride_bytes=0,
        layers=1,
        segments=[(0, memory.nbytes)],
        runs=runs,
    )
    command = [sys.executable, "-c", SPIN, str(cpu)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "spinning\n"
            passes = (backend.decode_read(memory, plan).interruptions for _ in range(20))
            assert any(count > 0 for count in passes)
        finally:
            other.kill()


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


@pytest.mark.skipif(
    os.environ.get("KVPROF_SANITIZER") == "thread",
    reason="ThreadSanitizer allows a forked child no new threads",
)
def test_a_forked_child_is_told_to_make_its_own_backend() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
