"""Every operation over the shapes that try a vectorised kernel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvprof import _core

from .arithmetic import Update
from .checks import (
    check_append,
    check_block_copy,
    check_decode_read,
    check_sparse_read,
    check_state_update,
    check_swap,
    check_zero,
    random_bytes,
)
from .model import Pages, Runs
from .shapes import LONG_ROWS, SHAPES, SHORT_ROWS, elsewhere, slots_of, some_rows, staggered
from .subjects import CUDAS, SINGLE_CPUS, Subject, made

Check = Callable[[_core.Backend, _core.Memory, _core.Memory, Pages, Runs], None]


def append(
    backend: _core.Backend, memory: _core.Memory, cache: Pages, runs: Runs, *, in_memory: bool
) -> None:
    row_bytes = sum(cache.row_bytes)
    # A prefill has a row of its own for each layer, a step that was just computed has few.
    source_rows = min(400_000 // row_bytes, 400) or 1 if in_memory else 3
    rows = random_bytes(source_rows * row_bytes, 3).reshape(source_rows, row_bytes)
    check_append(backend, memory, cache, slots_of(cache, runs), rows, in_memory=in_memory)


def copy_of(cache: Pages, runs: Runs, gap_bytes: int) -> tuple[Pages, Runs, Pages, Runs]:
    return cache, runs, elsewhere(cache, gap_bytes), runs


CHECKS: dict[str, Check] = {
    "decode_read": lambda b, m, h, cache, runs: check_decode_read(b, m, cache, runs),
    "sparse_read": lambda b, m, h, cache, runs: check_sparse_read(
        b, m, (elsewhere(cache, 0), runs[::-1]), (cache, runs)
    ),
    "append": lambda b, m, h, cache, runs: append(b, m, cache, runs, in_memory=False),
    "append from memory": lambda b, m, h, cache, runs: append(b, m, cache, runs, in_memory=True),
    "state_update": lambda b, m, h, cache, runs: check_state_update(
        b, m, cache, runs, Update(addend=2**63 + 2**32 + 1)
    ),
    "zero": lambda b, m, h, cache, runs: check_zero(b, m, cache, runs),
    "block_copy": lambda b, m, h, cache, runs: check_block_copy(b, m, copy_of(cache, runs, 0)),
    "block_copy, shifted": lambda b, m, h, cache, runs: check_block_copy(
        b, m, copy_of(cache, runs, 1)
    ),
    "swap out": lambda b, m, h, cache, runs: check_swap(b, m, h, copy_of(cache, runs, 0)),
    "swap in": lambda b, m, h, cache, runs: check_swap(b, h, m, copy_of(cache, runs, 1)),
}


@pytest.fixture(scope="module", params=[*SINGLE_CPUS, *CUDAS])
def subject(request: pytest.FixtureRequest) -> Subject:
    """One thread of each instruction set: how threads share a plan, the other tests try."""
    return made(request.param)


@pytest.fixture(scope="module")
def host_memory(backend: _core.Backend) -> _core.Memory:
    return backend.allocate_host(1 << 20)


@pytest.fixture(scope="module")
def medium_memory(backend: _core.Backend, policy: str) -> _core.Memory:
    return backend.allocate(256 << 10, policy)


@pytest.fixture(scope="module")
def medium_host_memory(backend: _core.Backend) -> _core.Memory:
    return backend.allocate_host(256 << 10)


@pytest.fixture(scope="module")
def small_memory(backend: _core.Backend, policy: str) -> _core.Memory:
    return backend.allocate(16 << 10, policy)


@pytest.fixture(scope="module")
def small_host_memory(backend: _core.Backend) -> _core.Memory:
    return backend.allocate_host(16 << 10)


@pytest.mark.parametrize("step_bytes", [0, 1])
@pytest.mark.parametrize("name", CHECKS)
def test_short_rows_at_every_alignment(
    backend: _core.Backend,
    small_memory: _core.Memory,
    small_host_memory: _core.Memory,
    name: str,
    step_bytes: int,
) -> None:
    for row_bytes in SHORT_ROWS:
        cache = staggered(row_bytes, step_bytes)
        CHECKS[name](backend, small_memory, small_host_memory, cache, some_rows(cache))


@pytest.mark.parametrize("step_bytes", [0, 3])
@pytest.mark.parametrize("name", CHECKS)
def test_long_rows_at_every_alignment(
    backend: _core.Backend,
    medium_memory: _core.Memory,
    medium_host_memory: _core.Memory,
    name: str,
    step_bytes: int,
) -> None:
    for row_bytes in LONG_ROWS:
        cache = staggered(row_bytes, step_bytes)
        CHECKS[name](backend, medium_memory, medium_host_memory, cache, some_rows(cache))


@pytest.mark.parametrize(("element", "unit_bytes"), [("float32", 4), ("bfloat16", 2)])
def test_rows_of_floats_at_every_alignment(
    backend: _core.Backend,
    small_memory: _core.Memory,
    medium_memory: _core.Memory,
    element: _core.Element,
    unit_bytes: int,
) -> None:
    update = Update(element, decay=0.7, input=0.3)
    for row_bytes in (*SHORT_ROWS, *LONG_ROWS):
        if row_bytes % unit_bytes == 0:
            cache = staggered(row_bytes, unit_bytes)
            held = small_memory if row_bytes in SHORT_ROWS else medium_memory
            check_state_update(backend, held, cache, some_rows(cache), update)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CHECKS)
def test_shapes_that_a_grid_must_divide(
    backend: _core.Backend,
    memory: _core.Memory,
    host_memory: _core.Memory,
    name: str,
    shape: str,
) -> None:
    CHECKS[name](backend, memory, host_memory, *SHAPES[shape])
