"""What every operation of a backend refuses before it touches a byte."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kvprof import _core

from .checks import memory_of
from .model import Pages, assert_same, bytes_of
from .subjects import Subject

Operation = Callable[[_core.Backend, _core.Memory, Pages, int, str], _core.StreamResult]

# Block 6 ends within a memory of 1000 bytes, block 7 at byte 1024.
CACHE = Pages(0, 1, 8, 1, (128,), 0)
WITHIN, BEYOND = 6, 7


def plan_of(cache: Pages, block: int) -> _core.PagePlan:
    return cache.plan(np.array([(block, 0, 1)], np.uint32))


def slot_plan_of(cache: Pages, block: int) -> _core.SlotPlan:
    slots = np.array([block], np.int64)
    return _core.SlotPlan(**cache.placement, rows_per_block=1, slots=slots)


def append(
    backend: _core.Backend, memory: _core.Memory, cache: Pages, block: int, variant: str
) -> _core.StreamResult:
    return backend.append(memory, slot_plan_of(cache, block), bytes(128), variant)


def append_from_memory(
    backend: _core.Backend, memory: _core.Memory, cache: Pages, block: int, variant: str
) -> _core.StreamResult:
    source = memory_of(backend, memory.policy, np.arange(128, dtype=np.uint8))
    return backend.append(memory, slot_plan_of(cache, block), source, variant)


def swap(
    backend: _core.Backend,
    memory: _core.Memory,
    plan: _core.CopyPlan,
    variant: str,
    *,
    out: bool,
    host: bool = False,
) -> _core.StreamResult:
    other = backend.allocate_host(4096) if host else backend.allocate(4096, memory.policy)
    pair = (memory, other) if out else (other, memory)
    return backend.swap(*pair, plan, variant)


OPERATIONS: dict[str, Operation] = {
    "decode_read": lambda b, m, c, block, v: b.decode_read(m, plan_of(c, block), v),
    "sparse_read index": lambda b, m, c, block, v: b.sparse_read(
        m, plan_of(c, block), plan_of(c, 0), v
    ),
    "sparse_read rows": lambda b, m, c, block, v: b.sparse_read(
        m, plan_of(c, 0), plan_of(c, block), v
    ),
    "append": append,
    "append from memory": append_from_memory,
    "state_update": lambda b, m, c, block, v: b.state_update(m, plan_of(c, block), variant=v),
    "zero": lambda b, m, c, block, v: b.zero(m, plan_of(c, block), v),
    "block_copy from": lambda b, m, c, block, v: b.block_copy(
        m, _core.CopyPlan(plan_of(c, block), plan_of(c, 0)), v
    ),
    "block_copy to": lambda b, m, c, block, v: b.block_copy(
        m, _core.CopyPlan(plan_of(c, 0), plan_of(c, block)), v
    ),
    "swap out": lambda b, m, c, block, v: swap(
        b, m, _core.CopyPlan(plan_of(c, block), plan_of(c, 0)), v, out=True
    ),
    "swap in": lambda b, m, c, block, v: swap(
        b, m, _core.CopyPlan(plan_of(c, 0), plan_of(c, block)), v, out=False
    ),
    "swap out to the host": lambda b, m, c, block, v: swap(
        b, m, _core.CopyPlan(plan_of(c, block), plan_of(c, 0)), v, out=True, host=True
    ),
    "swap in from the host": lambda b, m, c, block, v: swap(
        b, m, _core.CopyPlan(plan_of(c, 0), plan_of(c, block)), v, out=False, host=True
    ),
}


@pytest.fixture(scope="module")
def small(backend: _core.Backend, policy: str) -> _core.Memory:
    return backend.allocate(1000, policy)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_operation_leaves_the_memory(
    backend: _core.Backend, small: _core.Memory, name: str
) -> None:
    operation = OPERATIONS[name]
    assert operation(backend, small, CACHE, WITHIN, "").nbytes > 0
    backend.fill(small, 0, 1000, 1)
    before = small.read(0, 1000)
    with pytest.raises(IndexError, match="ends at byte 1024, the memory has 1000"):
        operation(backend, small, CACHE, BEYOND, "")
    assert_same(bytes_of(small), before)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_unknown_variant_is_refused_by_naming_the_known(
    backend: _core.Backend, small: _core.Memory, name: str
) -> None:
    known = backend.variants(name.split(maxsplit=1)[0])  # type: ignore[arg-type]
    backend.fill(small, 0, 1000, 1)
    before = small.read(0, 1000)
    with pytest.raises(ValueError, match=f"variant is 'fast', .* has: {', '.join(known)}$"):
        OPERATIONS[name](backend, small, CACHE, WITHIN, "fast")
    assert_same(bytes_of(small), before)


@pytest.mark.parametrize("kind", ["read", "write", "copy", "rmw"])
def test_a_ceiling_refuses_an_unknown_variant(
    backend: _core.Backend, small: _core.Memory, kind: _core.Ceiling
) -> None:
    known = ", ".join(backend.ceiling_variants(kind)).removesuffix(", plain_loop")
    with pytest.raises(ValueError, match=f"variant is 'fast', this operation has: {known}"):
        backend.ceiling(small, kind, "fast", 0, 64)


def test_a_stream_that_there_is_not_has_no_variants(backend: _core.Backend) -> None:
    with pytest.raises(ValueError, match=r"stream must be one of .*: got 'prefill'"):
        backend.variants("prefill")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offset", "nbytes"), [(0, 1001), (1000, 1), (-8, 16), (8, -8), (2**62, 2**62)]
)
def test_no_range_leaves_the_memory(
    backend: _core.Backend, small: _core.Memory, offset: int, nbytes: int
) -> None:
    with pytest.raises(IndexError, match=f"{nbytes} bytes from byte {offset}"):
        backend.fill(small, offset, nbytes, 1)
    for kind in ("read", "write", "copy", "rmw"):
        variant = backend.ceiling_variants(kind)[0]
        with pytest.raises(IndexError, match=f"{nbytes} bytes from byte {offset}"):
            backend.ceiling(small, kind, variant, offset, nbytes)


FOREIGN = {
    **{name: run for name, run in OPERATIONS.items() if "swap" not in name and "from" not in name},
    "fill": lambda b, m, c, block, v: b.fill(m, 0, 8, 1),
    "ceiling": lambda b, m, c, block, v: b.ceiling(m, "read", v, 0, 8),
    "block_copy": OPERATIONS["block_copy from"],
    "append a foreign source": lambda b, m, c, block, v: b.append(
        b.allocate(1000), slot_plan_of(c, block), m, v
    ),
    "swap from": lambda b, m, c, block, v: b.swap(
        m, b.allocate(1000), _core.CopyPlan(plan_of(c, block), plan_of(c, block)), v
    ),
    "swap to": lambda b, m, c, block, v: b.swap(
        b.allocate(1000), m, _core.CopyPlan(plan_of(c, block), plan_of(c, block)), v
    ),
}
"""Operations on a memory of 896 bytes that the backend cannot reach."""


@pytest.mark.parametrize("name", FOREIGN)
def test_a_device_refuses_memory_of_the_host(cuda: Subject, name: str) -> None:
    memory = _core.CpuBackend().allocate(7 * 128)
    with pytest.raises(ValueError, match="not of this device, nor page-locked"):
        FOREIGN[name](cuda.backend, memory, CACHE, WITHIN, "")


@pytest.mark.parametrize("name", FOREIGN)
def test_a_cpu_refuses_memory_of_a_device(cuda: Subject, name: str) -> None:
    memory = cuda.backend.allocate(7 * 128)
    with pytest.raises(ValueError, match="lies on a CUDA device"):
        FOREIGN[name](_core.CpuBackend(), memory, CACHE, WITHIN, "")
