"""The reference of physical pages: each tensor by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvprof.accounting import cache_groups, field_bytes, logical_bytes
from kvprof.layout import Cache, CacheLayout, held
from kvprof.plan import REQUEST_WASTES
from kvprof.size import Placement

from .reference import Asked, Bytes, Uses, pool_of


def tensors(layout: CacheLayout) -> list[tuple[Cache, int]]:
    """Each cache of each layer, one tensor for each of its fields: rows of so many bytes."""
    return [(cache, field_bytes(field)) for _, cache in layout.caches() for field in cache.fields]


@dataclass
class PagesMemory:
    """Each tensor of each layer by itself, in whole pages."""

    placement: Placement
    capacity: int
    page: int
    encoder: int = 0
    held: dict[int, int] = field(default_factory=dict)

    def pages(self, tokens: int) -> int:
        return sum(len(self._range(*tensor, tokens)) for tensor in tensors(self.placement.kept))

    def _range(self, cache: Cache, row: int, tokens: int) -> range:
        rows = held(cache, tokens, self.encoder)
        if not rows:
            return range(0)
        return range(rows.start * row // self.page, -(-rows.stop * row // self.page))

    def can_fit(self, asked: Asked) -> bool:
        most = self.capacity // self.page
        return max(self.pages(asked.tokens), self.pages(asked.final)) <= most

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        self.held[name] = 0
        if self.grow(name, asked.tokens):
            return 0
        del self.held[name]
        return None

    def grow(self, name: int, tokens: int) -> bool:
        need = self.pages(tokens)
        others = sum(self.held.values()) - self.held[name]
        if others + need > self.capacity // self.page:
            return False
        self.held[name] = need
        return True

    def release(self, name: int) -> None:
        del self.held[name]

    def shares(self, name: int, tokens: int) -> Bytes:
        total = dict.fromkeys(("logical", *REQUEST_WASTES), 0)
        needed = cache_groups(self.placement.layout)
        total["logical"] = logical_bytes(needed, tokens, self.encoder)
        total["convention"] = -total["logical"]
        for cache, row in tensors(self.placement.kept):
            rows, pages = held(cache, tokens, self.encoder), self._range(cache, row, tokens)
            if pages:
                total["convention"] += len(rows) * row
                total["window_slack"] += rows.start * row - pages.start * self.page
                total["tail"] += pages.stop * self.page - rows.stop * row
        return total

    def saved(self) -> Bytes:
        return {}

    def uses(self, waits: bool) -> Uses:
        """Of all groups together: which tensors are one is the program's choice."""
        used, size = sum(self.held.values()), self.capacity // self.page
        full = size > 0 and (waits or used == size)
        return Uses([(used, 0, size - used, full)], [used])

    def pool(self, waits: bool) -> Bytes:
        reserved = sum(self.held.values()) * self.page
        free = self.capacity // self.page * self.page - reserved
        return pool_of(reserved=reserved, free=free, remainder=self.capacity % self.page)
