"""The backends that the contract suite runs over; a new one is added here."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

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
MAY_BLOCK = os.environ.get("KVPROF_TEST_BLOCKING", "1") != "0"
"""Under a tool that serialises kernels, one that holds a stream back would never end."""


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
    backend: _core.Backend = module.CudaBackend(0, blocking=blocking and MAY_BLOCK)
    return backend


def cuda_subject(policy: str) -> Subject:
    return Subject(cuda_backend_of(), policy)


def cpus_of(threads: int) -> list[Any]:
    return [
        pytest.param(partial(cpu_subject, name, threads), id=f"cpu-{name}-{threads}")
        for name in INSTRUCTION_SETS[platform.machine()]
    ]


SINGLE_CPUS = cpus_of(1)
CPUS = [*SINGLE_CPUS, *cpus_of(2)]
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


def cpus_here() -> list[_core.Backend]:
    found: list[_core.Backend] = []
    for case in CPUS:
        (make,) = case.values
        try:
            found.append(make().backend)
        except NotHere:
            continue
    return found
