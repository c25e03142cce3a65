"""The memory to stream: how much, reserved, filled by the threads that will read it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import numpy as np
from msgspec import Struct

from kvprof._core import Backend, Memory
from kvprof.errors import DeviceError
from kvprof.host import available_memory, huge_page_bytes, node_bytes
from kvprof.units import format_bytes

CACHES_OVER = 5
"""A working set is at least this many times the last-level cache."""
APART_OVER = 4
"""So many times the last-level cache are set apart for ceilings, a pass over each half of it."""

MemoryPolicy = Literal["huge_pages", "plain"]
Progress = Callable[[str, float], None]

_DEFAULT_SHARE = 4
_LEAST_APART_BYTES = 512 * 2**20
_APART_SHARE = 4
_DEFAULT_MOST_BYTES = 4 * 2**30
_TOUCH_STEP_BYTES = 64 * 2**20
_USABLE = 0.9
_HOST_SHARE = 16
_HOST_MOST_BYTES = 256 * 2**20


class Pool(Struct, frozen=True):
    """Touched memory: ``[0, nbytes)`` holds blocks; ceilings run over what lies behind it.

    ``host`` is a memory of its own that stands in for the host's, to swap with.
    """

    memory: Memory
    host: Memory
    nbytes: int
    ceiling_bytes: int
    seconds: float
    touch_seconds: float
    huge_page_bytes: int | None
    node_bytes: dict[str, int] | None
    lock_refused: str | None


def open_pool(
    backend: Backend,
    stream_memory: int | None,
    *,
    policy: MemoryPolicy = "huge_pages",
    seed: int,
    touch_seconds: float,
    progress: Progress,
) -> Pool:
    """Reserve memory and fill it with random bytes, so that every page is there before timing.

    By default a quarter of the available memory, at most 4 GiB, no more than can be touched in
    ``touch_seconds``, and at least nine times the last-level cache: five for the working set and
    four for ceilings, which also flush the caches. Each thread touches the part of the memory that
    it has of a stream over all of it, so that on machines of several nodes pages lie near their
    reader.

    Raises
    ------
    DeviceError
        When more is asked for than is available; the message says how much would do.
    """
    cache = backend.facts.last_level_cache_bytes
    least = (CACHES_OVER + APART_OVER) * cache
    asked = _wanted_bytes(stream_memory, least)
    started = time.perf_counter()
    memory = backend.allocate(asked, policy)
    allocated = time.perf_counter()
    touched = asked
    if stream_memory is None:
        touched = _affordable(backend, memory, seed, touch_seconds, least)
    host = backend.allocate(_host_bytes(touched), policy)
    apart = min(max(APART_OVER * cache, _LEAST_APART_BYTES), touched // _APART_SHARE)
    apart = max(apart, min(APART_OVER * cache, touched - CACHES_OVER * cache))
    _touch(backend, memory, 0, touched - apart, seed, progress)
    _touch(backend, memory, touched - apart, apart, seed, progress)
    _touch(backend, host, 0, host.nbytes, seed + 1, lambda what, part: None)
    address = np.asarray(memoryview(memory)).ctypes.data
    return Pool(
        memory,
        host,
        touched - apart,
        apart,
        allocated - started,
        time.perf_counter() - allocated,
        huge_page_bytes(address),
        node_bytes(address),
        memory.lock(touched),
    )


def _wanted_bytes(stream_memory: int | None, least: int) -> int:
    """What to allocate: what was asked for, or the default, if that much can be used now."""
    usable = int(available_memory() * _USABLE)
    wanted = stream_memory
    if wanted is None:
        wanted = max(least, min(usable // _DEFAULT_SHARE, _DEFAULT_MOST_BYTES))
    if wanted <= usable:
        return wanted
    if stream_memory is None:
        raise DeviceError(
            f"a profile needs {format_bytes(least)}, {CACHES_OVER + APART_OVER} times the "
            f"last-level cache, and {format_bytes(usable)} can be used now",
            hint=f"Give less with --stream-memory {usable // 2**20}MiB; caches may serve it.",
        )
    raise DeviceError(
        f"--stream-memory of {format_bytes(wanted)} ({wanted} bytes) is more than the "
        f"{format_bytes(usable)} that can be used now",
        hint=f"Try --stream-memory {usable // 2**20}MiB or less.",
    )


def _affordable(
    backend: Backend, memory: Memory, seed: int, touch_seconds: float, least: int
) -> int:
    """How much of the memory can be touched in that time, by the rate of its first bytes."""
    first = min(_TOUCH_STEP_BYTES, memory.nbytes)
    rate = first / backend.fill(memory, 0, first, seed)
    affordable = int(rate * touch_seconds) // _TOUCH_STEP_BYTES * _TOUCH_STEP_BYTES
    return min(memory.nbytes, max(least, affordable))


def _host_bytes(pool_bytes: int) -> int:
    return max(1, min(_HOST_MOST_BYTES, pool_bytes // _HOST_SHARE))


def _touch(
    backend: Backend, memory: Memory, offset: int, nbytes: int, seed: int, progress: Progress
) -> None:
    """Fill step by step, so that Ctrl-C works: in each step every thread a part of its share."""
    parts = -(-nbytes // _TOUCH_STEP_BYTES)
    for part in range(parts):
        backend.fill(memory, offset, nbytes, seed, part=part, parts=parts)
        progress("touching memory", (part + 1) / parts)
