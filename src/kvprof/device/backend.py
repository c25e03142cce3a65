"""The interface that every backend answers; see ``csrc/device/backend.hpp``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kvprof._core import CopyPlan, DeviceFacts, Memory, PagePlan, SlotPlan, StreamResult


class Backend(Protocol):
    """Memory of a device, the stream operations over it, and its ceilings.

    Every operation moves real bytes, is timed by the backend's own clock, and returns a checksum of
    what it read; none knows an architecture. It is done in one of several ``variants``.
    """

    @property
    def facts(self) -> DeviceFacts: ...

    @property
    def cpus(self) -> Sequence[int]: ...

    @property
    def pinned(self) -> Sequence[bool]: ...

    def allocate(self, nbytes: int, policy: Any = ...) -> Memory: ...

    def fill(
        self,
        memory: Memory,
        offset_bytes: int,
        nbytes: int,
        seed: int,
        *,
        finite: bool = ...,
        part: int = ...,
        parts: int = ...,
    ) -> float: ...

    def variants(self, stream: Any) -> Sequence[str]: ...

    def decode_read(self, memory: Memory, plan: PagePlan, variant: str = ...) -> StreamResult: ...

    def append(
        self, memory: Memory, plan: SlotPlan, source: Any, variant: str = ...
    ) -> StreamResult: ...

    def state_update(
        self,
        memory: Memory,
        plan: PagePlan,
        *,
        element: Any = ...,
        addend: int = ...,
        decay: float = ...,
        input: float = ...,  # noqa: A002 - what the state takes in
        variant: str = ...,
    ) -> StreamResult: ...

    def block_copy(self, memory: Memory, plan: CopyPlan, variant: str = ...) -> StreamResult: ...

    def swap(
        self, source: Memory, target: Memory, plan: CopyPlan, variant: str = ...
    ) -> StreamResult: ...

    def zero(self, memory: Memory, plan: PagePlan, variant: str = ...) -> StreamResult: ...

    def ceiling_variants(self, kind: Any) -> Sequence[str]: ...

    def ceiling(
        self, memory: Memory, kind: Any, variant: str, offset_bytes: int, nbytes: int
    ) -> StreamResult: ...
