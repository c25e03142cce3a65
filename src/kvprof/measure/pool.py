"""The memory to stream: reserved, filled by the threads or the device that will read it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
from msgspec import Struct

from kvprof._core import Backend, Memory
from kvprof.device import own_memory
from kvprof.errors import UsageError
from kvprof.host import available_memory, huge_page_bytes, node_bytes
from kvprof.measure.allocation import policy_costs
from kvprof.measure.phases import phase
from kvprof.measure.pool_sizes import (
    OF_ITS_OWN,
    SHARED_WITH_THE_HOST,
    Available,
    PoolSizes,
    Shares,
    memory_to_take,
)
from kvprof.measure.sources import Sources
from kvprof.profile_result import PolicyCost

Progress = Callable[[str, float], None]

_TOUCH_STEP_BYTES = 64 * 2**20


class Placed(Struct, frozen=True):
    """What the system says of where a memory of the host lies.

    None of a device's, which is never swapped out either, so that nothing refuses to lock it.
    """

    huge_page_bytes: int | None
    node_bytes: dict[str, int] | None
    lock_refused: str | None


class Pool(Struct, frozen=True, kw_only=True):
    """Touched memory: ``[0, nbytes)`` holds blocks; ceilings run over what lies behind it.

    ``host`` is the host's memory to swap with; on the CPU, one that stands in for it. ``shares``
    say what kind of memory it is: what appends and swaps do follows from them, and nothing else.
    ``sources`` have the rows to append, none where they come from a cache. With less than
    ``least_bytes`` caches may serve a part of it.
    """

    memory: Memory
    host: Memory
    sources: Sources
    shares: Shares
    nbytes: int
    ceiling_bytes: int
    least_bytes: int
    seconds: float
    touch_seconds: float
    policies: tuple[PolicyCost, ...]
    placed: Placed

    @property
    def own_memory(self) -> bool:
        """Whether it is a device's own: rows to append lie in it, and the host is over a link."""
        return self.shares.own_memory

    def release(self) -> None:
        """Give all its memories back."""
        self.memory.release()
        self.host.release()
        self.sources.release()

    @property
    def memories(self) -> dict[str, Memory]:
        """All that operations may write to or read from, by what messages call it."""
        return {"the pool": self.memory, "the host's memory": self.host} | self.sources.memories


def open_pool(
    backend: Backend,
    stream_memory: int | None,
    *,
    policy: str = "",
    seed: int,
    touch_seconds: float,
    progress: Progress,
) -> Pool:
    """Reserve memory and fill it with random bytes, so that every page is there before timing.

    How much is what `memory_to_take` says, by default what can be touched in ``touch_seconds``.
    Each thread touches the part of the memory that it has of a stream over all of it, so that on
    machines of several nodes pages lie near their reader. When it fails nothing stays allocated.

    Raises
    ------
    DeviceError
        When more is asked for than is available; the message says how much would do.
    MemoryError
        When the memory is not there after all.
    UsageError
        When the backend has no such policy; the message says which it has.
    """
    _check_policy(backend, policy)
    policies = policy_costs(backend)  # now, while there is memory left for it
    available = _available(backend)
    taken = memory_to_take(stream_memory, backend.available_bytes(), available)
    sizes = available.divide(taken)
    with ExitStack() as undo:
        started = time.perf_counter()
        memory = backend.allocate(sizes.pool_bytes + sizes.ceiling_bytes, policy)
        undo.callback(memory.release)
        allocated = time.perf_counter()
        if stream_memory is None:
            affordable = _affordable(backend, memory, seed, touch_seconds)
            sizes = available.divide(min(taken, max(available.least_bytes, affordable)))
        host = _host_memory(backend, sizes.host_bytes, policy)
        undo.callback(host.release)
        _touch_both(backend, memory, host, sizes, seed, progress)
        pool = Pool(
            memory=memory,
            host=host,
            sources=Sources(backend, sizes.source_bytes, seed + 3),
            shares=available.shares,
            nbytes=sizes.pool_bytes,
            ceiling_bytes=sizes.ceiling_bytes,
            least_bytes=available.least_bytes,
            seconds=allocated - started,
            touch_seconds=time.perf_counter() - allocated,
            policies=policies,
            placed=_placed(memory, sizes.pool_bytes + sizes.ceiling_bytes),
        )
        undo.pop_all()
    return pool


def _host_memory(backend: Backend, nbytes: int, policy: str) -> Memory:
    """The host's memory to swap with, or what stands in for it where it is the device's."""
    if own_memory(backend):
        return backend.allocate_host(nbytes)
    return backend.allocate(nbytes, policy)


def _available(backend: Backend) -> Available:
    return Available(
        OF_ITS_OWN if own_memory(backend) else SHARED_WITH_THE_HOST,
        backend.facts.last_level_cache_bytes,
        available_memory(),
    )


def _check_policy(backend: Backend, policy: str) -> None:
    if policy and policy not in backend.policies:
        raise UsageError(
            f"--allocation is {policy!r}, which {backend.facts.backend} has not",
            hint=f"It has {', '.join(backend.policies)}.",
        )


def _placed(memory: Memory, nbytes: int) -> Placed:
    """Where a memory lies, once the system was asked to keep its first bytes there."""
    if not memory.on_host:
        return Placed(None, None, None)
    address = np.asarray(memoryview(memory)).ctypes.data
    return Placed(huge_page_bytes(address), node_bytes(address), memory.lock(nbytes))


def _affordable(backend: Backend, memory: Memory, seed: int, touch_seconds: float) -> int:
    """How much memory can be touched in that time, by the rate of this one's first bytes."""
    first = min(_TOUCH_STEP_BYTES, memory.nbytes)
    rate = first / backend.fill(memory, 0, first, seed)
    return int(rate * touch_seconds) // _TOUCH_STEP_BYTES * _TOUCH_STEP_BYTES


def _touch_both(
    backend: Backend,
    memory: Memory,
    host: Memory,
    sizes: PoolSizes,
    seed: int,
    progress: Progress,
) -> None:
    with phase("touching memory", memory.nbytes + host.nbytes):
        _touch(backend, memory, 0, sizes.pool_bytes, seed, progress)
        _touch(backend, memory, sizes.pool_bytes, sizes.ceiling_bytes, seed, progress)
        _touch(backend, host, 0, host.nbytes, seed + 1, lambda what, part: None)


def _touch(
    backend: Backend, memory: Memory, offset: int, nbytes: int, seed: int, progress: Progress
) -> None:
    """Fill step by step, so that Ctrl-C works: in each step every thread a part of its share."""
    parts = -(-nbytes // _TOUCH_STEP_BYTES)
    for part in range(parts):
        backend.fill(memory, offset, nbytes, seed, part=part, parts=parts)
        progress("touching memory", (part + 1) / parts)
