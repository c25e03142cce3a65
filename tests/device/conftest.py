"""The backends that the contract suite runs over; a new one is added here."""

import platform

import pytest

from kvprof import _core

INSTRUCTION_SETS = {"x86_64": ("baseline", "avx2", "avx512"), "aarch64": ("neon",)}
BACKENDS = [
    (instruction_set, threads)
    for instruction_set in INSTRUCTION_SETS[platform.machine()]
    for threads in (1, 2)
]


def make_cpu_backend(instruction_set: str, threads: int) -> _core.CpuBackend:
    """Raise ValueError for instructions or threads that this machine does not have."""
    allowed = _core.CpuBackend().cpus
    if len(allowed) < threads:
        raise ValueError(f"{len(allowed)} CPU")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVPROF_INSTRUCTION_SET", instruction_set)
        backend = _core.CpuBackend(allowed[:threads])
    assert backend.facts.instruction_set == instruction_set
    return backend


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda param: f"cpu-{param[0]}-{param[1]}")
def backend(request: pytest.FixtureRequest) -> _core.CpuBackend:
    try:
        return make_cpu_backend(*request.param)
    except ValueError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def backends() -> list[_core.CpuBackend]:
    """All that this machine has."""
    found = []
    for instruction_set, threads in BACKENDS:
        try:
            found.append(make_cpu_backend(instruction_set, threads))
        except ValueError:
            continue
    return found


@pytest.fixture(scope="module")
def memory(backend: _core.CpuBackend) -> _core.Memory:
    return backend.allocate(1 << 20)
