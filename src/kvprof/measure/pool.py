"""How much memory to stream, and that memory: reserved, touched, filled, and mapped by group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from msgspec import Struct

from kvprof._core import Group, Memory
from kvprof.device.backend import Backend
from kvprof.errors import DeviceError
from kvprof.host import available_memory, huge_page_bytes
from kvprof.plan import AllocationPlan, Part, PlanGroup
from kvprof.units import format_bytes

CACHES_OVER = 5
"""A working set is at least this many times the last-level cache."""
FLUSH_OVER = 2
"""A flush reads this many times the last-level cache."""

_DEFAULT_SHARE = 4
_DEFAULT_MOST_BYTES = 4 * 2**30
_TOUCH_STEP_BYTES = 64 * 2**20
_USABLE = 0.9
_ALIGNMENT = 4096


class Pool(Struct, frozen=True):
    """Touched memory: ``[0, nbytes)`` holds blocks, the flush area lies behind it."""

    memory: Memory
    nbytes: int
    flush_bytes: int
    seconds: float
    touch_seconds: float
    huge_page_bytes: int | None


class Region(Struct, frozen=True):
    """Where the pages of one part lie: ``[layers, blocks, page_bytes]`` from ``base_bytes``."""

    group: PlanGroup
    group_index: int
    part: Part
    base_bytes: int

    @property
    def block_stride_bytes(self) -> int:
        return self.part.page_bytes

    @property
    def layer_stride_bytes(self) -> int:
        return (self.group.num_blocks or 0) * self.part.page_bytes

    @property
    def is_dense(self) -> bool:
        """Whether all rows of a layer lie one behind the other: one segment, no padding."""
        rows_bytes = self.group.rows_per_block * self.part.segments[0].row_bytes
        return len(self.part.segments) == 1 and rows_bytes == self.part.page_bytes

    @property
    def segments(self) -> list[tuple[int, int]]:
        """``(offset_bytes, row_bytes)`` of each segment of a page."""
        return [(segment.offset_bytes, segment.row_bytes) for segment in self.part.segments]

    @property
    def nbytes(self) -> int:
        return len(self.part.layers) * self.layer_stride_bytes


def open_pool(
    backend: Backend,
    stream_memory: int | None,
    *,
    seed: int,
    touch_seconds: float,
    progress: Callable[[str, float], None],
) -> Pool:
    """Reserve memory and fill it with random bytes, so that every page is there before timing.

    By default a quarter of the available memory, at most 4 GiB, no more than can be touched in
    ``touch_seconds``, and at least seven times the last-level cache: five for the working set and
    two to flush with.

    Raises
    ------
    DeviceError
        When more is asked for than is available; the message says how much would do.
    """
    cache = backend.facts.last_level_cache_bytes
    least = (CACHES_OVER + FLUSH_OVER) * cache
    asked = _wanted_bytes(stream_memory, least)
    started = time.perf_counter()
    memory = backend.allocate(asked)
    allocated = time.perf_counter()
    least = asked if stream_memory is not None else least
    touched = _touch(backend, memory, asked, least, seed, touch_seconds, progress)
    flush = min(FLUSH_OVER * cache, touched // 4)
    return Pool(
        memory,
        touched - flush,
        flush,
        allocated - started,
        time.perf_counter() - allocated,
        huge_page_bytes(np.asarray(memoryview(memory)).ctypes.data),
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
            f"a profile needs {format_bytes(least)}, {CACHES_OVER + FLUSH_OVER} times the "
            f"last-level cache, and {format_bytes(usable)} can be used now",
            hint=f"Give less with --stream-memory {usable // 2**20}MiB; caches may serve it.",
        )
    raise DeviceError(
        f"--stream-memory of {format_bytes(wanted)} ({wanted} bytes) is more than the "
        f"{format_bytes(usable)} that can be used now",
        hint=f"Try --stream-memory {usable // 2**20}MiB or less.",
    )


def _touch(
    backend: Backend,
    memory: Memory,
    nbytes: int,
    least: int,
    seed: int,
    touch_seconds: float,
    progress: Callable[[str, float], None],
) -> int:
    """Fill step by step, so that Ctrl-C works; stop early, above ``least``, when it is slow."""
    started = time.perf_counter()
    done = 0
    while done < nbytes:
        step = min(_TOUCH_STEP_BYTES, nbytes - done)
        backend.fill(memory, done, step, seed)
        done += step
        progress("touching memory", done / nbytes)
        if least <= done and time.perf_counter() - started > touch_seconds:
            break
    return done


def map_regions(plan: AllocationPlan) -> tuple[Region, ...]:
    """Lay the parts of a plan one behind the other, each on a page of the system."""
    return tuple(_regions(plan))


def _regions(plan: AllocationPlan) -> Iterator[Region]:
    base = 0
    for index, group in enumerate(plan.groups):
        for part in group.parts:
            region = Region(group, index, part, base)
            yield region
            base += -(-region.nbytes // _ALIGNMENT) * _ALIGNMENT


def plan_memory(nbytes: int, parts: int) -> int:
    """Bytes of a pool that a plan of so many parts may divide: alignment is taken off first."""
    return nbytes - parts * _ALIGNMENT


def compiled_group(group: PlanGroup) -> Group:
    """What the compiled allocator must know of a group."""
    keep = type(group.keep).__name__.lower()
    return Group(
        num_blocks=group.num_blocks or 0,
        rows_per_block=group.rows_per_block,
        entry_tokens=group.entry_tokens,
        keep=keep,  # type: ignore[arg-type]
        keep_entries=getattr(group.keep, "n", 0),
        clock=group.clock.value,
    )
