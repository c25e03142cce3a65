"""Which fields of a config were asked for, and which of them made which cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvprof.layout import Cache


class FieldReads:
    """Notes what is asked of a config while a layout is made of it.

    ``fields`` are those asked for by whoever lays out the whole; ``of_cache`` those asked for
    while one cache was built, where the reader builds caches one by one.
    """

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.of_cache: dict[Cache, dict[str, Any]] = {}

    def note(self, name: str, value: Any) -> None:
        """Note a field that was there."""
        self.fields[name] = value

    def behind(self, cache: Cache) -> dict[str, Any]:
        """The fields that led to a cache: those of the whole, and its own."""
        return {**self.fields, **self.of_cache.get(cache, {})}
