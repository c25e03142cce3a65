"""The reference of contiguous memory: one byte string, runs set aside or copied to grow."""

from __future__ import annotations

from dataclasses import dataclass

from kvprof.accounting import cache_groups, entry_bytes, logical_bytes
from kvprof.allocation import Reserve
from kvprof.layout import Cache, Clock, Once, entries
from kvprof.size import Placement

from .reference import Asked, Bytes, Uses, pool_of


class Line:
    """A contiguous memory, one byte string: which units are taken."""

    def __init__(self, units: int) -> None:
        self.taken = bytearray(units)

    def free_runs(self) -> list[tuple[int, int]]:
        runs, at = [], 0
        while (start := self.taken.find(0, at)) >= 0:
            end = self.taken.find(1, start)
            at = len(self.taken) if end < 0 else end
            runs.append((start, at - start))
            if end < 0:
                break
        return runs

    def take(self, start: int, units: int) -> None:
        assert not any(self.taken[start : start + units])
        self.taken[start : start + units] = b"\x01" * units

    def give(self, start: int, units: int) -> None:
        self.taken[start : start + units] = bytes(units)


def buddy_place(line: Line, units: int) -> int | None:
    """Where a buddy allocator puts a power of two: in the smallest whole free part, the first.

    Free parts are as large as they can be: halves of powers of two that the memory is made of.
    """
    parts, offset = [], 0
    total = len(line.taken)
    for order in reversed(range(total.bit_length())):
        if total & 1 << order:
            parts += _free_parts(line, offset, 1 << order)
            offset += 1 << order
    fitting = [(size, start) for start, size in parts if size >= units]
    return min(fitting)[1] if fitting else None


def _free_parts(line: Line, start: int, size: int) -> list[tuple[int, int]]:
    if not any(line.taken[start : start + size]):
        return [(start, size)]
    if size == 1:
        return []
    half = size // 2
    return _free_parts(line, start, half) + _free_parts(line, start + half, half)


@dataclass
class ReserveMemory:
    """One run for each sequence."""

    placement: Placement
    capacity: int
    reserve: Reserve
    unit: int
    longest: int
    encoder: int = 0

    def __post_init__(self) -> None:
        self.line = Line(self.capacity // self.unit)
        self.runs: dict[int, tuple[int, int, int, int]] = {}

    def most(self, tokens: int) -> int:
        """Bytes of the fullest moment on the way to that length, of each cache by itself."""
        total = 0
        for group in cache_groups(self.placement.kept):
            cache = group.cache
            most = max(entries(cache, t, self.encoder) for t in range(tokens + 1))
            total += most * entry_bytes(cache) * len(group.layers)
        return total

    def tokens_for(self, asked: Asked) -> int:
        match self.reserve.tokens:
            case "max":
                return self.longest
            case "pow2":
                rounded = 1 << (asked.output - 1).bit_length() if asked.output else 0
                return max(asked.final, min(self.longest, asked.prompt + rounded))
        return asked.final

    def units_for(self, asked: Asked) -> int:
        units = -(-self.most(self.tokens_for(asked)) // self.unit)
        buddy = self.reserve.fit == "buddy"
        return 1 << (units - 1).bit_length() if buddy and units else units

    def place_of(self, line: Line, units: int) -> int | None:
        if self.reserve.fit == "buddy":
            return buddy_place(line, units)
        return next((start for start, size in line.free_runs() if size >= units), None)

    def can_fit(self, asked: Asked) -> bool:
        units = self.units_for(asked)
        return units == 0 or self.place_of(Line(len(self.line.taken)), units) is not None

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        units = self.units_for(asked)
        start = self.place_of(self.line, units) if units else 0
        if start is None:
            return None
        self.line.take(start, units)
        self.runs[name] = (start, units, self.tokens_for(asked), asked.final)
        return 0

    def grow(self, name: int, tokens: int) -> bool:
        return True

    def release(self, name: int) -> None:
        start, units, _, _ = self.runs.pop(name)
        self.line.give(start, units)

    def shares(self, name: int, tokens: int) -> Bytes:
        _, units, reserved, final = self.runs[name]
        logical = logical_bytes(cache_groups(self.placement.layout), tokens, self.encoder)
        kept = logical_bytes(cache_groups(self.placement.kept), tokens, self.encoder)
        used, most = self.most(final), self.most(reserved)
        return {
            "logical": logical,
            "convention": kept - logical,
            "reserved_for_later": used - kept,
            "never_used": most - used,
            "padding": units * self.unit - most,
        }

    def saved(self) -> Bytes:
        return {}

    def uses(self, waits: bool) -> Uses:
        return Uses()

    def pool(self, waits: bool) -> Bytes:
        units = len(self.line.taken)
        reserved = sum(self.line.taken) * self.unit
        free = units * self.unit - reserved
        shares = {"external" if waits else "free": free}
        return pool_of(reserved=reserved, remainder=self.capacity - units * self.unit, **shares)


@dataclass
class GrowMemory:
    """One run for each sequence, cache and layer; the longer one is taken before it is given up."""

    placement: Placement
    capacity: int
    unit: int
    encoder: int = 0

    def __post_init__(self) -> None:
        self.line = Line(self.capacity // self.unit)
        self.caches = [
            group.cache for group in cache_groups(self.placement.kept) for _ in group.layers
        ]
        self.runs: dict[int, list[tuple[int, int, int]]] = {}

    def units(self, cache: Cache, tokens: int) -> int:
        return -(-entries(cache, tokens, self.encoder) * entry_bytes(cache) // self.unit)

    def can_fit(self, asked: Asked) -> bool:
        for tokens in (asked.tokens, asked.final):
            sizes = [self.units(cache, tokens) for cache in self.caches]
            moving = [
                size
                for size, cache in zip(sizes, self.caches, strict=True)
                if not isinstance(cache.keep, Once)
            ]
            if sum(sizes) + max(moving, default=0) > len(self.line.taken):
                return False
        return True

    def best(self, units: int) -> int | None:
        if units == 0:
            return 0
        fitting = [(size, start) for start, size in self.line.free_runs() if size >= units]
        return min(fitting)[1] if fitting else None

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        self.runs[name] = []
        for cache in self.caches:
            units = self.units(cache, asked.tokens)
            start = self.best(units)
            if start is None:
                self.release(name)
                return None
            self.line.take(start, units)
            self.runs[name].append((start, units, asked.tokens))
        return 0

    def grow(self, name: int, tokens: int) -> bool:
        for i, cache in enumerate(self.caches):
            old, had, at = self.runs[name][i]
            units = self.units(cache, tokens)
            still = isinstance(cache.keep, Once) or cache.clock is Clock.ENCODER
            still = still or tokens % cache.entry_tokens > 0
            if at >= tokens or (still and units == had):
                continue
            start = self.best(units)
            if start is None:
                return False
            self.line.take(start, units)
            self.line.give(old, had)
            self.runs[name][i] = (start, units, tokens)
        return True

    def release(self, name: int) -> None:
        for start, units, _ in self.runs.pop(name):
            self.line.give(start, units)

    def shares(self, name: int, tokens: int) -> Bytes:
        logical = logical_bytes(cache_groups(self.placement.layout), tokens, self.encoder)
        kept = logical_bytes(cache_groups(self.placement.kept), tokens, self.encoder)
        reserved = sum(self.units(cache, tokens) for cache in self.caches) * self.unit
        return {"logical": logical, "convention": kept - logical, "padding": reserved - kept}

    def saved(self) -> Bytes:
        return {}

    def uses(self, waits: bool) -> Uses:
        return Uses()

    def pool(self, waits: bool) -> Bytes:
        units = len(self.line.taken)
        reserved = sum(self.line.taken) * self.unit
        shares = {"external" if waits else "free": units * self.unit - reserved}
        return pool_of(reserved=reserved, remainder=self.capacity - units * self.unit, **shares)
