"""What a decode step does to a state: an update for each of its tensors, and NumPy's model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kvprof._core import Backend, Memory, PagePlan, StreamResult
from kvprof.measure.regions import Region
from kvprof.measure.tables import Runs, page_plan
from kvprof.page_order import Segment

ADDEND: Final = 0x9E3779B97F4A7C15
"""What is added to 64-bit words: an odd number with bits all over."""
DECAY: Final = 0.875
INPUT: Final = 0.125
"""What floats are multiplied with, and what is then added: from any start they tend to 1."""

if TYPE_CHECKING:
    from kvprof._core import Element

_WORD = 8

Updated = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Bytes of equal runs ``[runs, bytes]`` to what an update makes of them."""


def element_of(segment: Segment) -> Element:
    """What a tensor's bytes are updated as: floats where there is a kernel for them, else words.

    Either way the same bytes are read and written.
    """
    if segment.dtype == "float32":
        return "float32"
    return "bfloat16" if segment.dtype == "bfloat16" else "word64"


def update_plans(region: Region, runs: Runs) -> list[PagePlan]:
    """The address plan of each tensor of the states under the runs."""
    return [page_plan(region, runs, segment) for segment in range(len(region.segments))]


def update_part(
    backend: Backend, memory: Memory, segment: Segment, plan: PagePlan, variant: str
) -> StreamResult:
    """Update one tensor of the states under a plan, as an engine's kernel for it does."""
    return backend.state_update(
        memory,
        plan,
        element=element_of(segment),
        addend=ADDEND,
        decay=DECAY,
        input=INPUT,
        variant=variant,
    )


def _words(old: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Words of eight bytes; the last bytes of a run, fewer than eight, are a shorter word."""
    length = old.shape[1]
    padded = np.pad(old, ((0, 0), (0, -length % _WORD)))
    words = np.ascontiguousarray(padded).view("<u8") + np.uint64(ADDEND)
    return words.view(np.uint8)[:, :length]


def _float32(old: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _decayed(np.ascontiguousarray(old).view("<f4")).view(np.uint8)


def _bfloat16(old: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The upper halves of float32, rounded to nearest even."""
    upper = np.ascontiguousarray(old).view("<u2").astype(np.uint32) << np.uint32(16)
    bits = _decayed(upper.view(np.float32)).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)
    return rounded.astype("<u2").view(np.uint8)


def _decayed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    decayed: NDArray[np.float32] = values * np.float32(DECAY) + np.float32(INPUT)
    return decayed


UPDATES: dict[str, Updated] = {"word64": _words, "float32": _float32, "bfloat16": _bfloat16}
