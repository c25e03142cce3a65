"""The backends that the contract suite runs over; a new one is added here."""

import pytest

from kvprof import _core

CPU_BACKENDS = [
    pytest.param((name, threads), id=f"cpu-{name}-{threads}")
    for name in ("baseline", "avx2", "avx512")
    for threads in (1, 2)
]


@pytest.fixture(scope="module", params=CPU_BACKENDS)
def backend(request: pytest.FixtureRequest) -> _core.CpuBackend:
    instruction_set, threads = request.param
    allowed = _core.CpuBackend().cpus
    if len(allowed) < threads:
        pytest.skip(f"{len(allowed)} CPU")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVPROF_INSTRUCTION_SET", instruction_set)
        try:
            backend = _core.CpuBackend(allowed[:threads])
        except ValueError as error:
            pytest.skip(str(error))
    assert backend.facts.instruction_set == instruction_set
    return backend


@pytest.fixture(scope="module")
def memory(backend: _core.CpuBackend) -> _core.Memory:
    return backend.allocate(1 << 20)
