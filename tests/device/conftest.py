"""The contract suite's fixtures: a backend, its memory, and a look at the guards after a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvprof import _core

from .subjects import CPUS, CUDAS, NotHere, Subject, cpus_here, cuda_backend_of, made


@pytest.fixture(scope="module", params=[*CPUS, *CUDAS])
def subject(request: pytest.FixtureRequest) -> Subject:
    return made(request.param)


@pytest.fixture(scope="module")
def backend(subject: Subject) -> _core.Backend:
    return subject.backend


@pytest.fixture(scope="module")
def policy(subject: Subject) -> str:
    return subject.policy


@pytest.fixture(scope="module")
def memory(subject: Subject) -> _core.Memory:
    return subject.backend.allocate(1 << 20, subject.policy)


@pytest.fixture(scope="module", params=CPUS)
def cpu_backend(request: pytest.FixtureRequest) -> _core.Backend:
    """For what only threads of this machine have: their memory's protocols, CPUs and signals."""
    return made(request.param).backend


@pytest.fixture(scope="module", params=CUDAS)
def cuda(request: pytest.FixtureRequest) -> Subject:
    """For what only a device with memory of its own has."""
    return made(request.param)


@pytest.fixture(
    scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)], ids=str
)
def backends(request: pytest.FixtureRequest) -> list[_core.Backend]:
    """All that this machine has: the CPU's, and then also a GPU, launched in both ways."""
    if request.param == "cpu":
        return cpus_here()
    try:
        return [*cpus_here(), cuda_backend_of(), cuda_backend_of(blocking=False)]
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def nothing_was_written_beside_a_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test also checks the guards of the memories that it was given."""
    yield
    for name, value in request.node.funcargs.items():
        if isinstance(value, _core.Memory):
            assert value.guards_intact(), f"something wrote beside {name}"
