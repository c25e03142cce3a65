"""What a failing driver does to the CUDA backend: one message, nothing leaked, nothing hung.

A real device does not fail on demand, so this runs over an emulated one (`KVPROF_CUDA=EMULATED`).
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from kvprof import _core

from .model import Pages

_cuda = pytest.importorskip("kvprof._cuda", reason="built without CUDA")

if not _cuda.EMULATED:
    pytest.skip("the CUDA runtime is not emulated", allow_module_level=True)

pytestmark = pytest.mark.gpu
EMULATOR = ctypes.CDLL(_cuda.__file__)
MIB = 2**20
CACHE = Pages(0, 2, 8, 4, (64,), 0)
RUNS = np.array([(block, 0, 4) for block in range(8)], np.uint32)
PLAN = CACHE.plan(RUNS)
SLOTS = _core.SlotPlan(**CACHE.placement, rows_per_block=4, slots=np.arange(20))
FORK = _core.CopyPlan(CACHE.plan(RUNS[:4]), CACHE.plan(RUNS[4:]))

Fail = Callable[[str], None]
Held = tuple[int, int, int]


def held() -> Held:
    """Allocations, handles and bytes of the device that are held now."""
    gc.collect()  # what earlier tests have left
    names = ("live_allocations", "live_handles", "held_bytes")
    functions = [getattr(EMULATOR, f"kvprof_emulated_{name}") for name in names]
    for function in functions:
        function.restype = ctypes.c_size_t
    allocations, handles, nbytes = (function() for function in functions)
    return allocations, handles, nbytes


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fail]:
    """Make calls of the driver fail: "cudaMalloc:2" is the second from now on."""
    yield lambda calls: monkeypatch.setenv("KVPROF_EMULATED_FAIL_AT", calls)
    monkeypatch.delenv("KVPROF_EMULATED_FAIL_AT", raising=False)
    EMULATOR.kvprof_emulated_clear_error()


@pytest.fixture
def backend() -> _core.Backend:
    gc.collect()  # what earlier tests have left holds memory of the device
    backend: _core.Backend = _cuda.CudaBackend(0)
    backend.allocate(MIB, "pool").release()  # makes the pool
    return backend


ALLOCATIONS = [
    ("plain", "cudaMalloc:1,cudaMalloc:2"),
    ("pool", "cudaMallocFromPoolAsync:1,cudaMallocFromPoolAsync:2"),
    # Six pieces of 2 MiB: the fourth of the first try, and the second of the other.
    ("vmm", "cuMemCreate:4,cuMemCreate:6"),
    ("vmm", "cuMemAddressReserve:1,cuMemAddressReserve:2"),
    ("vmm", "cuMemMap:3,cuMemMap:4"),
]


@pytest.mark.parametrize(("policy", "calls"), ALLOCATIONS, ids=str)
def test_an_allocation_that_fails_half_way_holds_nothing(
    backend: _core.Backend, fail: Fail, policy: str, calls: str
) -> None:
    free = backend.available_bytes()  # trims the pool
    before = held()
    fail(calls)
    with pytest.raises(MemoryError) as refused:
        backend.allocate(11 * MIB, policy)
    assert f"{11 * MIB} bytes" in str(refused.value)
    assert f"{free} bytes of {backend.facts.memory_bytes} are free" in str(refused.value)
    assert (held(), backend.available_bytes()) == (before, free)
    # What failed was that call; the device is as good as before.
    assert backend.allocate(11 * MIB, policy).guards_intact()


def test_an_allocation_that_the_driver_refuses_once_is_tried_again(
    backend: _core.Backend, fail: Fail
) -> None:
    fail("cudaMalloc:1")
    assert backend.allocate(MIB, "plain").guards_intact()


def test_page_locked_memory_that_is_refused_says_how_much(
    backend: _core.Backend, fail: Fail
) -> None:
    before = held()
    fail("cudaMallocHost:1")
    with pytest.raises(MemoryError, match=f"{3 * MIB} bytes of page-locked memory"):
        backend.allocate_host(3 * MIB)
    assert held() == before


Operation = Callable[[_core.Backend, _core.Memory], object]
OPERATIONS: dict[str, Operation] = {
    "fill": lambda b, m: b.fill(m, 0, MIB, 1),
    "decode_read": lambda b, m: b.decode_read(m, PLAN),
    "sparse_read": lambda b, m: b.sparse_read(m, PLAN, PLAN),
    "append": lambda b, m: b.append(m, SLOTS, bytes(64)),
    "state_update": lambda b, m: b.state_update(m, PLAN, addend=1),
    "block_copy": lambda b, m: b.block_copy(m, FORK),
    "zero": lambda b, m: b.zero(m, PLAN),
    "ceiling read": lambda b, m: b.ceiling(m, "read", "", 0, MIB),
    "ceiling copy": lambda b, m: b.ceiling(m, "copy", "driver", 0, MIB),
    "ceiling write": lambda b, m: b.ceiling(m, "write", "driver", 0, MIB),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("call", ["cudaLaunchKernel", "cudaMemcpyAsync", "cudaMemsetAsync"])
def test_an_operation_whose_calls_fail_says_so_and_ends(
    backend: _core.Backend, fail: Fail, name: str, call: str
) -> None:
    memory = backend.allocate(MIB)
    OPERATIONS[name](backend, memory)
    before = held()
    failures = 0
    # Each of its calls in turn, also those behind the kernel that holds the stream back.
    for nth in range(1, 8):
        fail(f"{call}:{nth}")
        try:
            OPERATIONS[name](backend, memory)
        except (_core.DeviceFault, MemoryError):
            failures += 1
        fail("")
        assert OPERATIONS[name](backend, memory) is not None
    assert held() == before
    # Each pass clears its sums and fetches them; one kernel holds it back, and two read clocks.
    assert failures >= (3 if call == "cudaLaunchKernel" else 1)


@pytest.mark.parametrize("variant", ["batched", "kernel", "per_block"])
@pytest.mark.parametrize(
    "call", ["cuMemcpyBatchAsync:1", "cudaLaunchKernel:1", "cudaMemcpyAsync:1"]
)
def test_a_swap_whose_calls_fail_says_so(
    backend: _core.Backend, fail: Fail, variant: str, call: str
) -> None:
    memory, host = backend.allocate(MIB), backend.allocate_host(MIB)
    plan = _core.CopyPlan(PLAN, PLAN)
    backend.swap(memory, host, plan, variant)
    fail(call)
    used = {"batched": "cuMemcpyBatchAsync", "kernel": "cudaLaunch", "per_block": "cudaMemcpyAsync"}
    if call.startswith(used[variant]):
        with pytest.raises((_core.DeviceFault, MemoryError), match="failed with"):
            backend.swap(memory, host, plan, variant)
    else:
        assert backend.swap(memory, host, plan, variant).nbytes == PLAN.nbytes


@pytest.mark.parametrize(
    "calls",
    ["cudaStreamCreate:1", "cudaEventCreate:2", "cudaMallocHost:1", "cudaMalloc:1"],
)
def test_a_backend_that_cannot_be_made_holds_nothing(fail: Fail, calls: str) -> None:
    before = held()
    fail(calls)
    with pytest.raises((_core.DeviceFault, MemoryError)):
        _cuda.CudaBackend(0)
    assert held() == before


def test_a_backend_that_ends_holds_nothing() -> None:
    before = held()
    backend = _cuda.CudaBackend(0)
    memories = [backend.allocate(MIB, policy) for policy in backend.policies]
    host = backend.allocate_host(MIB)
    for memory in memories:
        backend.fill(memory, 0, MIB, 1)
        backend.decode_read(memory, PLAN)
        backend.swap(memory, host, _core.CopyPlan(PLAN, PLAN))
    # Memories may outlive their backend.
    del backend
    assert all(memory.guards_intact() for memory in memories)
    assert memories[0].read(0, 8).any()
    del memory, memories, host
    assert held() == before


def test_the_second_device_is_as_good_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVPROF_EMULATED_DEVICES", "2")
    first, second = _cuda.CudaBackend(0), _cuda.CudaBackend(1)
    for policy in second.policies:
        memory = second.allocate(MIB, policy)
        for name, operation in OPERATIONS.items():
            assert operation(second, memory) is not None, name
        for variant in second.variants("swap"):
            second.swap(memory, second.allocate_host(MIB), _core.CopyPlan(PLAN, PLAN), variant)
        assert memory.__dlpack_device__() == (2, 1)
        with pytest.raises(ValueError, match="not of this device"):
            first.decode_read(memory, PLAN)
        # The first device is nobody's: what is held is the second one's.
        assert first.available_bytes() == first.facts.memory_bytes - 2 * MIB
        del memory


def test_another_thread_can_use_a_backend(backend: _core.Backend) -> None:
    done: list[object] = []

    def use() -> None:
        memory = backend.allocate(MIB, "vmm")
        done.extend(operation(backend, memory) for operation in OPERATIONS.values())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(done) == len(OPERATIONS)


@pytest.mark.parametrize(
    ("lacks", "policies"), [("pools", ["plain", "vmm"]), ("vmm,pools", ["plain"]), ("", None)]
)
def test_a_policy_that_the_device_does_not_support_is_not_offered(
    monkeypatch: pytest.MonkeyPatch, lacks: str, policies: list[str] | None
) -> None:
    monkeypatch.setenv("KVPROF_EMULATED_LACKS", lacks)
    assert _cuda.CudaBackend(0).policies == (policies or ["plain", "pool", "vmm"])


def test_a_device_without_room_for_a_context_says_so(fail: Fail) -> None:
    fail("cuDevicePrimaryCtxRetain:1")
    with pytest.raises(MemoryError, match="no memory left for a context: another process"):
        _cuda.CudaBackend(0)


def test_memory_is_exported_where_it_lies_only(backend: _core.Backend) -> None:
    memory = backend.allocate(MIB)
    with pytest.raises(BufferError, match="where it lies only"):
        memory.__dlpack__(dl_device=(1, 0))
    memory.release()
    assert not hasattr(memory, "__cuda_array_interface__")


DRIVERS = {
    "KVPROF_EMULATED_DRIVER_VERSION=12020": r"serves CUDA 12\.2, this build needs CUDA 13",
    "CUDA_VISIBLE_DEVICES=": "shows no device to this process",
    "CUDA_VISIBLE_DEVICES=-1": "shows no device to this process",
}


@pytest.mark.parametrize("setting", DRIVERS)
def test_a_driver_that_cannot_serve_says_why(setting: str) -> None:
    name, _, value = setting.partition("=")
    code = "from kvprof import _cuda; print(_cuda.unavailable_reason()); _cuda.CudaBackend(0)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert re.search(DRIVERS[setting], ran.stdout), ran.stdout
    assert "IndexError: there is no CUDA device 0" in ran.stderr
    assert re.search(DRIVERS[setting], ran.stderr)


@pytest.mark.parametrize("blocking", [True, False])
def test_passes_are_ranges_with_their_bytes(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    file = os.path.join(tmp_path, "ranges")
    monkeypatch.setenv("KVPROF_EMULATED_NVTX", file)
    backend = _cuda.CudaBackend(0, blocking=blocking)
    memory = backend.allocate(MIB)
    _cuda.range_push("verifying", 5)
    backend.decode_read(memory, PLAN)
    backend.swap(memory, backend.allocate_host(MIB), _core.CopyPlan(PLAN, PLAN))
    _cuda.range_pop()
    with open(file, encoding="utf-8") as lines:
        assert lines.read().splitlines() == [
            "kvprof push verifying 5",
            f"kvprof push decode_read {PLAN.nbytes}",
            "kvprof pop",
            f"kvprof push swap {PLAN.nbytes}",
            "kvprof pop",
            "kvprof pop",
        ]


def test_the_core_clock_of_a_long_pass_is_known(backend: _core.Backend) -> None:
    memory = backend.allocate(64 * MIB)
    # The emulated clock is 1.98 GHz, as that of an H100. The CPU that emulates it may be taken away
    # between the reading of time and of cycles, but not each time.
    passes = [backend.ceiling(memory, "read", "", 0, 64 * MIB) for _ in range(5)]
    assert any(one.clock_hz == pytest.approx(1.98e9, rel=0.01) for one in passes)
