"""Allocation by every policy of every backend: what is had, what it costs, what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kvprof import _core

from .model import SEED, WORD, bytes_of, refill
from .subjects import CUDA_POLICIES, Subject

MIB = 1 << 20
# Other processes of a device come and go, and the driver keeps some for itself.
SLACK = 64 * MIB


def check_fill(backend: _core.Backend, memory: _core.Memory) -> None:
    """All of it can be written and read: its words differ, and its second half can come again."""
    words = refill(backend, memory)[: memory.nbytes // WORD * WORD].view(np.uint64)
    assert len(np.unique(words)) == len(words)
    part = memory.nbytes // 2
    backend.fill(memory, part, memory.nbytes - part, SEED)
    np.testing.assert_array_equal(bytes_of(memory)[: len(words) * WORD].view(np.uint64), words)


def test_memory_is_had_by_every_policy(backend: _core.Backend) -> None:
    assert len(set(backend.policies)) == len(backend.policies) > 0
    for policy in backend.policies:
        memory = backend.allocate(3 * MIB + 5, policy)
        assert (memory.nbytes, memory.policy) == (3 * MIB + 5, policy)
        check_fill(backend, memory)
        assert memory.guards_intact()
        memory.release()


def test_without_a_policy_the_first_is_taken(backend: _core.Backend) -> None:
    assert backend.allocate(4096).policy == backend.policies[0]
    assert backend.allocate(4096, "").policy == backend.policies[0]


def test_the_policies_of_a_gpu(cuda: Subject) -> None:
    assert tuple(cuda.backend.policies) == CUDA_POLICIES


def test_bad_allocations_are_refused(backend: _core.Backend) -> None:
    for policy in ("", *backend.policies):
        with pytest.raises(MemoryError, match=f"{2**50} bytes"):
            backend.allocate(2**50, policy)
        for nbytes in (0, -1):
            with pytest.raises(ValueError, match=f"nbytes is {nbytes}"):
                backend.allocate(nbytes, policy)
    with pytest.raises(ValueError, match="policy is 'slab'") as refused:
        backend.allocate(4096, "slab")
    assert all(policy in str(refused.value) for policy in backend.policies)


def test_memory_of_the_host_is_had(backend: _core.Backend) -> None:
    memory = backend.allocate_host(MIB + 3)
    assert (memory.nbytes, memory.on_host) == (MIB + 3, True)
    assert memory.policy == ("pinned" if backend.facts.backend == "cuda" else backend.policies[0])
    memory.write(MIB, b"end")
    assert memoryview(memory)[MIB:].tobytes() == b"end"
    assert memory.guards_intact()
    memory.release()
    with pytest.raises(MemoryError, match=f"{2**50} bytes"):
        backend.allocate_host(2**50)
    with pytest.raises(ValueError, match="nbytes is 0"):
        backend.allocate_host(0)


@pytest.mark.parametrize("count", [1, 3])
def test_the_cost_of_allocations_is_told(backend: _core.Backend, count: int) -> None:
    for policy in ("", *backend.policies):
        cost = backend.allocation_cost(8 * MIB, count, policy)
        assert cost.allocate_seconds > 0
        assert cost.free_seconds > 0
        assert cost.asked_bytes == count * 8 * MIB
        assert cost.held_bytes >= cost.asked_bytes
        if backend.facts.backend == "cpu":
            assert cost.held_bytes == cost.asked_bytes


def test_a_bad_cost_is_refused(backend: _core.Backend) -> None:
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"count is {count}"):
            backend.allocation_cost(4096, count)
    with pytest.raises(ValueError, match="nbytes is 0"):
        backend.allocation_cost(0, 1)
    with pytest.raises(ValueError, match="policy is 'slab'"):
        backend.allocation_cost(4096, 1, "slab")
    with pytest.raises(MemoryError, match=f"{2**50} bytes"):
        backend.allocation_cost(2**50, 1)


def test_something_is_available(backend: _core.Backend) -> None:
    assert 0 < backend.available_bytes() <= backend.facts.memory_bytes


def test_what_is_allocated_is_available_no_more(cuda: Subject) -> None:
    nbytes = 256 * MIB
    before = cuda.backend.available_bytes()
    memory = cuda.backend.allocate(nbytes, cuda.policy)
    cuda.backend.fill(memory, 0, nbytes, 1)
    during = cuda.backend.available_bytes()
    memory.release()
    after = cuda.backend.available_bytes()
    assert nbytes - SLACK <= before - during <= nbytes + SLACK
    assert abs(after - before) <= SLACK


def test_an_allocation_that_is_dropped_is_available_again(cuda: Subject) -> None:
    before = cuda.backend.available_bytes()
    for _ in range(3):
        cuda.backend.allocate(before // 8, cuda.policy)
    assert abs(cuda.backend.available_bytes() - before) <= SLACK


def test_a_cost_leaves_nothing_behind(cuda: Subject) -> None:
    cuda.backend.allocation_cost(32 * MIB, 1, cuda.policy)  # starts up what stays
    before = cuda.backend.available_bytes()
    cuda.backend.allocation_cost(32 * MIB, 4, cuda.policy)
    assert cuda.backend.available_bytes() == before


def test_more_than_the_device_has_is_refused_and_nothing_leaks(cuda: Subject) -> None:
    backend, policy = cuda
    backend.allocate(MIB, policy).release()  # starts up what stays
    before = backend.available_bytes()
    for nbytes in (backend.facts.memory_bytes + 1, 2 * backend.facts.memory_bytes, 2**62):
        with pytest.raises(MemoryError) as refused:
            backend.allocate(nbytes, policy)
        numbers = [int(number) for number in re.findall(r"\d+", str(refused.value))]
        assert nbytes in numbers, refused.value
        assert any(abs(number - before) <= SLACK for number in numbers), refused.value
        assert backend.available_bytes() == before
    memory = backend.allocate(MIB, policy)
    check_fill(backend, memory)
