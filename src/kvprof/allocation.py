"""What an engine names for a replay: a compiled allocation policy and its parameters."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kvprof.plan import AllocationPlan

PAGE_BYTES = 2 * 2**20
"""Physical pages of the CUDA driver's virtual memory management."""


class Blocks(Struct, frozen=True):
    """Block tables over the pools of a plan: blocks, token slots, a pool that all groups share."""

    plan: AllocationPlan


class Reserve(Struct, frozen=True):
    """One contiguous run for each sequence, set aside on admission.

    Attributes
    ----------
    tokens
        For how many: ``max`` the longest sequence, ``pow2`` the prompt and the output rounded up to
        a power of two, ``oracle`` as many as there will be.
    fit
        How a free run is found: ``buddy``, whose runs are powers of two, or ``first_fit``.
    """

    tokens: Literal["max", "pow2", "oracle"]
    fit: Literal["buddy", "first_fit"] = "buddy"


class Pages(Struct, frozen=True):
    """Tensors contiguous in virtual memory, over physical pages that are mapped as they grow."""

    page_bytes: int = PAGE_BYTES


class Grow(Struct, frozen=True):
    """One contiguous tensor for each sequence and layer, copied at each growth.

    ``unit_bytes``: the length of a tensor in memory is a multiple of it.
    """

    unit_bytes: int = 512


Allocation = Blocks | Reserve | Pages | Grow
