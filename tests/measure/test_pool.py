"""How much memory a profile takes of what is free, and that it gives back what it cannot use."""

from __future__ import annotations

from typing import Any

import pytest

from kvprof._core import CpuBackend, Memory
from kvprof.errors import DeviceError, UsageError
from kvprof.measure.pool import open_pool
from kvprof.measure.pool_sizes import (
    OF_ITS_OWN,
    SHARED_WITH_THE_HOST,
    Available,
    PoolSizes,
    memory_to_take,
)

MIB, GIB = 2**20, 2**30


def sizes_of(
    asked: int | None = None,
    *,
    free: int = 80 * GIB,
    host: int = 64 * GIB,
    cache: int = 50 * MIB,
    own: bool = True,
) -> PoolSizes:
    shares = OF_ITS_OWN if own else SHARED_WITH_THE_HOST
    available = Available(shares, cache, host)
    return available.divide(memory_to_take(asked, free, available))


def test_of_a_devices_memory_half_is_taken_and_no_more_than_16_gib() -> None:
    sizes = sizes_of()
    assert (sizes.pool_bytes, sizes.ceiling_bytes, sizes.source_bytes) == (11 * GIB, 4 * GIB, GIB)
    assert sizes.host_bytes == 2 * GIB
    small = sizes_of(free=10 * GIB)
    taken = int(10 * GIB * 0.9) // 2
    assert small.source_bytes == taken // 10
    assert small.pool_bytes + small.ceiling_bytes + small.source_bytes == taken


def test_two_passes_of_2_gib_are_set_apart_unless_that_is_more_than_half() -> None:
    assert sizes_of(64 * GIB, free=80 * GIB).ceiling_bytes == 4 * GIB
    assert sizes_of(10 * GIB).ceiling_bytes == 4 * GIB
    # A tenth of it are rows to append.
    assert sizes_of(5 * GIB).ceiling_bytes == (5 * GIB - GIB // 2) // 2


def test_the_host_gives_an_eighth_of_what_it_has() -> None:
    assert sizes_of(host=8 * GIB).host_bytes == GIB
    assert sizes_of(GIB).host_bytes == GIB
    assert sizes_of(host=0).host_bytes == 1


def test_no_less_than_nine_caches_are_taken_and_one_for_rows() -> None:
    # Half of what can be used is 450 MiB, and 10 x 64 MiB are needed: 5 for blocks, 4 for ceilings.
    sizes = sizes_of(free=1000 * MIB, cache=64 * MIB)
    assert (sizes.pool_bytes, sizes.ceiling_bytes) == (5 * 64 * MIB, 4 * 64 * MIB)
    assert sizes.source_bytes == 64 * MIB
    on_the_cpu = sizes_of(free=1000 * MIB, cache=64 * MIB, own=False)
    assert on_the_cpu.pool_bytes + on_the_cpu.ceiling_bytes == 9 * 64 * MIB
    assert on_the_cpu.source_bytes == 0


def test_of_the_cpus_memory_a_quarter_is_taken_and_no_more_than_4_gib() -> None:
    sizes = sizes_of(own=False, free=64 * GIB)
    assert (sizes.pool_bytes, sizes.ceiling_bytes) == (4 * GIB - 512 * MIB, 512 * MIB)
    assert sizes.host_bytes == 256 * MIB


def test_with_too_little_the_pool_has_five_caches_as_far_as_ceilings_have_their_share() -> None:
    # Of 8 caches a quarter is 2, and 5 leave 3; of 6 it is 1.5, and 5 leave 1.
    eight, six = (sizes_of(n * 400 * MIB, cache=400 * MIB, own=False) for n in (8, 6))
    assert (eight.pool_bytes, eight.ceiling_bytes) == (5 * 400 * MIB, 3 * 400 * MIB)
    assert (six.pool_bytes, six.ceiling_bytes) == (4.5 * 400 * MIB, 1.5 * 400 * MIB)


def test_more_than_the_device_has_is_refused_with_what_it_has() -> None:
    with pytest.raises(DeviceError, match=r"100 GiB \(107374182400 bytes\).*72 GiB.*80 GiB"):
        sizes_of(100 * GIB)
    with pytest.raises(DeviceError, match=r"a profile needs 500 MiB.*90 MiB can be used"):
        sizes_of(free=100 * MIB)


class Short:
    """A backend that has memory for so many allocations; those it made are noted."""

    def __init__(self, backend: CpuBackend, allocations: int) -> None:
        self._backend = backend
        self._left = allocations
        self.made: list[Memory] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def allocate(self, nbytes: int, policy: str = "") -> Memory:
        if not self._left:
            raise MemoryError(f"{nbytes} bytes cannot be allocated")
        self._left -= 1
        self.made.append(self._backend.allocate(nbytes, policy))
        return self.made[-1]


def opened(backend: Any, **options: Any) -> Any:
    given = {"seed": 1, "touch_seconds": 1.0, "progress": lambda what, part: None} | options
    return open_pool(backend, 8 * MIB, **given)


@pytest.mark.parametrize("allocations", [0, 1])
def test_a_pool_that_fails_half_way_leaves_nothing_allocated(
    backend: CpuBackend, allocations: int
) -> None:
    short = Short(backend, allocations)
    with pytest.raises(MemoryError, match="cannot be allocated"):
        opened(short)
    assert len(short.made) == allocations
    for memory in short.made:
        with pytest.raises(ValueError, match="released"):
            memory.read(0, 1)


def test_an_interruption_leaves_nothing_allocated(backend: CpuBackend) -> None:
    def interrupted(what: str, part: float) -> None:
        raise KeyboardInterrupt

    every = Short(backend, 2)
    with pytest.raises(KeyboardInterrupt):
        opened(every, progress=interrupted)
    for memory in every.made:
        with pytest.raises(ValueError, match="released"):
            memory.read(0, 1)


def test_a_pool_is_released_as_a_whole(backend: CpuBackend) -> None:
    pool = opened(backend, policy="plain")
    assert pool.memory.policy == "plain"
    pool.sources.hold({64})
    rows = pool.sources.of(64)
    pool.release()
    for memory in (pool.memory, pool.host, rows):
        with pytest.raises(ValueError, match="released"):
            memory.read(0, 1)


def test_a_policy_that_the_device_does_not_have(backend: CpuBackend) -> None:
    with pytest.raises(UsageError, match=r"'vmm', which cpu has not") as refused:
        opened(backend, policy="vmm")
    assert "huge_pages, plain" in str(refused.value)
