"""Which fields of a config were asked for, and which of them made which cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from kvprof.layout import Cache


class FieldRead(Struct, frozen=True):
    """A field that was there; ``default``: not in the config, but filled in by its class."""

    field: str
    value: Any
    default: bool


class FieldReads:
    """Notes what is asked of a config while a layout is made of it.

    ``fields`` are those asked for by whoever lays out the whole; ``of_cache`` those asked for
    while one cache was built, where the reader builds caches one by one.
    """

    def __init__(self) -> None:
        self.fields: dict[str, FieldRead] = {}
        self.of_cache: dict[Cache, dict[str, FieldRead]] = {}

    def note(self, field: str, value: Any, *, default: bool) -> None:
        """Note a field that was there."""
        self.fields[field] = FieldRead(field, value, default)

    def behind(self, cache: Cache) -> dict[str, FieldRead]:
        """The fields that led to a cache: those of the whole, and its own."""
        return {**self.fields, **self.of_cache.get(cache, {})}
