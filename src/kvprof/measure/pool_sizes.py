"""What is free in, how much of it a profile takes for blocks, for ceilings and of the host out."""

from __future__ import annotations

from msgspec import Struct

from kvprof.errors import DeviceError
from kvprof.units import format_bytes

CACHES_OVER = 5
"""A working set is at least this many times the last-level cache."""
APART_OVER = 4
"""So many times the last-level cache are set apart for ceilings, a pass over each half of it."""
SOURCE_OVER = 1
"""So many parts of a device's own memory are rows to append, beside those above."""

_GIB = 2**30
_USABLE = 0.9
_LEAST_BYTES = 2**20


class Shares(Struct, frozen=True):
    """What a profile takes of a kind of memory.

    Attributes
    ----------
    own_memory
        Whether it is a device's own, with a link to the host's; else it is the host's.
    of_free, most_bytes
        The default: one part in so many of what can be used, at most so many bytes.
    apart_bytes, apart_of
        Set apart for ceilings: so many bytes, at most one part in so many of the memory.
    host_of_pool, host_of_free, host_bytes
        Of the host: one part in so many of the memory and of what the host has, at most so much.
    batch_bytes, moved_bytes
        What the sequences of a profile hold at the least, and what copies move and appends take
        their rows from at the most: a pass must be long for the device's clock, and streaming more
        would cost samples and tell no more.
    """

    own_memory: bool
    of_free: int
    most_bytes: int
    apart_bytes: int
    apart_of: int
    host_of_pool: int
    host_of_free: int
    host_bytes: int
    batch_bytes: int
    moved_bytes: int


SHARED_WITH_THE_HOST = Shares(
    own_memory=False,
    of_free=4,
    most_bytes=4 * _GIB,
    apart_bytes=_GIB // 2,
    apart_of=4,
    host_of_pool=16,
    host_of_free=1,
    host_bytes=_GIB // 4,
    batch_bytes=_GIB // 2,
    moved_bytes=_GIB // 4,
)
OF_ITS_OWN = Shares(
    own_memory=True,
    of_free=2,
    most_bytes=16 * _GIB,
    apart_bytes=4 * _GIB,
    apart_of=2,
    host_of_pool=1,
    host_of_free=8,
    host_bytes=2 * _GIB,
    batch_bytes=2 * _GIB,
    moved_bytes=_GIB,
)
"""A device that moves terabytes a second needs 2 GiB for a pass to be long enough for its clock,
and a link is told best by few long copies."""


class PoolSizes(Struct, frozen=True):
    """Bytes of blocks and of ceilings, in one memory; of rows to append, and of the host's memory.

    All but the last are parts of what is taken of the device.
    """

    pool_bytes: int
    ceiling_bytes: int
    source_bytes: int
    host_bytes: int


class Available(Struct, frozen=True):
    """What there is to divide: a kind of memory, the caches before it, what the host has free."""

    shares: Shares
    cache_bytes: int
    host_free_bytes: int

    @property
    def least_bytes(self) -> int:
        """So much that no cache serves it: the working set, and ceilings that flush it."""
        return self._caches * self.cache_bytes

    @property
    def _caches(self) -> int:
        return CACHES_OVER + APART_OVER + (SOURCE_OVER if self.shares.own_memory else 0)

    def divide(self, total_bytes: int) -> PoolSizes:
        """A memory of so many bytes into its parts.

        Of a device's own memory a tenth are rows to append. Of the rest ceilings have the share of
        this kind of memory, but four caches at least and no more than five leave; where less than
        nine are there, between what five leave and four.
        """
        shares, apart = self.shares, APART_OVER * self.cache_bytes
        source = total_bytes * SOURCE_OVER // self._caches if shares.own_memory else 0
        source = min(source, shares.moved_bytes)
        rest = total_bytes - source
        spare = rest - CACHES_OVER * self.cache_bytes
        share = min(max(apart, shares.apart_bytes), rest // shares.apart_of)
        _, ceilings, _ = sorted((share, apart, spare))
        host = min(
            shares.host_bytes,
            total_bytes // shares.host_of_pool,
            self.host_free_bytes // shares.host_of_free,
        )
        return PoolSizes(rest - ceilings, ceilings, source, max(1, host))


def memory_to_take(stream_memory: int | None, free_bytes: int, available: Available) -> int:
    """How much to allocate: what was asked for, or the default, if that much can be used now.

    By default at least nine times the last-level cache: five for the working set and four for
    ceilings, which also flush the caches. Of a device's own memory one more, of rows to append.

    Raises
    ------
    DeviceError
        When it is more than can be used, or too little for any pass; the message says what would
        do.
    """
    shares, usable = available.shares, int(free_bytes * _USABLE)
    wanted = stream_memory
    if wanted is None:
        wanted = max(available.least_bytes, min(usable // shares.of_free, shares.most_bytes))
    if wanted < _LEAST_BYTES:
        raise DeviceError(
            f"--stream-memory of {format_bytes(wanted)} is less than the "
            f"{format_bytes(_LEAST_BYTES)} that a pass needs",
            hint="Several last-level caches tell something; the default is enough.",
        )
    if wanted > usable:
        raise _too_much(wanted, usable, free_bytes, by_default=stream_memory is None)
    return wanted


def _too_much(wanted: int, usable: int, free: int, *, by_default: bool) -> DeviceError:
    mib = usable // 2**20
    if by_default:
        return DeviceError(
            f"a profile needs {format_bytes(wanted)}, many times the last-level cache, and "
            f"{format_bytes(usable)} can be used now",
            hint=f"Give less with --stream-memory {mib}MiB; caches may serve it.",
        )
    return DeviceError(
        f"--stream-memory of {format_bytes(wanted)} ({wanted} bytes) is more than the "
        f"{format_bytes(usable)} that can be used now; {format_bytes(free)} are free",
        hint=f"Try --stream-memory {mib}MiB or less.",
    )
