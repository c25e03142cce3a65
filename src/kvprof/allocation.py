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

    def __post_init__(self) -> None:
        _one_of("tokens", self.tokens, ("max", "pow2", "oracle"))
        _one_of("fit", self.fit, ("buddy", "first_fit"))


class Pages(Struct, frozen=True):
    """Tensors contiguous in virtual memory, over physical pages that are mapped as they grow."""

    page_bytes: int = PAGE_BYTES

    def __post_init__(self) -> None:
        _at_least_one("page_bytes", self.page_bytes)


class Grow(Struct, frozen=True):
    """One contiguous tensor for each sequence and layer, copied at each growth.

    ``unit_bytes``: the length of a tensor in memory is a multiple of it.
    """

    unit_bytes: int = 512

    def __post_init__(self) -> None:
        _at_least_one("unit_bytes", self.unit_bytes)


Allocation = Blocks | Reserve | Pages | Grow


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}: got {value!r}")


def _at_least_one(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1: got {value!r}")
