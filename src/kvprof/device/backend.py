"""The interface that every backend answers; see ``csrc/device/backend.hpp``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kvprof._core import DeviceFacts, Memory, PagePlan, SlotPlan, StreamResult


class Backend(Protocol):
    """Memory of a device, the stream operations over it, and its ceilings.

    Every operation moves real bytes, is timed by the backend's own clock, and returns a checksum of
    what it read; none knows an architecture.
    """

    @property
    def facts(self) -> DeviceFacts: ...

    def allocate(self, nbytes: int, policy: Any = ...) -> Memory: ...

    def fill(self, memory: Memory, offset_bytes: int, nbytes: int, seed: int) -> float: ...

    def decode_read(self, memory: Memory, plan: PagePlan) -> StreamResult: ...

    def append(self, memory: Memory, plan: SlotPlan, source: Any) -> StreamResult: ...

    def state_update(self, memory: Memory, plan: PagePlan, addend: int) -> StreamResult: ...

    def ceiling_variants(self, kind: Any) -> Sequence[str]: ...

    def ceiling(
        self, memory: Memory, kind: Any, variant: str, offset_bytes: int, nbytes: int
    ) -> StreamResult: ...
