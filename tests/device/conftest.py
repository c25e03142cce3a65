"""The backends that the contract suite runs over; a new one is added here."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import pytest

from kvprof import _core


class Subject(NamedTuple):
    """A backend, and the policy that its tests allocate by."""

    backend: _core.Backend
    policy: str


class NotHere(Exception):  # noqa: N818 (a reason to skip, not a failure)
    """This machine has no such backend; the message says why."""


INSTRUCTION_SETS = {"x86_64": ("baseline", "avx2", "avx512"), "aarch64": ("neon",)}
CUDA_POLICIES = ("plain", "pool", "vmm")


def cpu_backend_of(instruction_set: str, threads: int) -> _core.CpuBackend:
    allowed = _core.CpuBackend().cpus
    if len(allowed) < threads:
        raise NotHere(f"{len(allowed)} CPU")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVPROF_INSTRUCTION_SET", instruction_set)
        try:
            backend = _core.CpuBackend(allowed[:threads])
        except ValueError as error:
            raise NotHere(str(error)) from error
    assert backend.facts.instruction_set == instruction_set
    return backend


def cpu_subject(instruction_set: str, threads: int) -> Subject:
    backend = cpu_backend_of(instruction_set, threads)
    return Subject(backend, backend.policies[0])


def cuda_backend_of(*, blocking: bool = True) -> _core.Backend:
    try:
        module = importlib.import_module("kvprof._cuda")
    except ModuleNotFoundError as error:
        raise NotHere("built without CUDA") from error
    reason = module.unavailable_reason()
    if reason is not None:
        raise NotHere(reason)
    backend: _core.Backend = module.CudaBackend(0, blocking=blocking)
    return backend


def cuda_subject(policy: str) -> Subject:
    return Subject(cuda_backend_of(), policy)


CPUS = [
    pytest.param(
        partial(cpu_subject, instruction_set, threads), id=f"cpu-{instruction_set}-{threads}"
    )
    for instruction_set in INSTRUCTION_SETS[platform.machine()]
    for threads in (1, 2)
]
CUDAS = [
    pytest.param(partial(cuda_subject, policy), id=f"cuda-{policy}", marks=pytest.mark.gpu)
    for policy in CUDA_POLICIES
]


def made(make: Callable[[], Subject]) -> Subject:
    """Skip, visibly, what this machine does not have."""
    try:
        return make()
    except NotHere as reason:
        pytest.skip(str(reason))


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


def cpus_here() -> list[_core.Backend]:
    found: list[_core.Backend] = []
    for case in CPUS:
        (make,) = case.values
        try:
            found.append(make().backend)  # type: ignore[operator]
        except NotHere:
            continue
    return found


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
