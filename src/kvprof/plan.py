"""How an engine places a bound layout: an `AllocationPlan` of groups, blocks, pages and pools.

Everything that a plan says of a sequence is counted here: blocks held, bytes reserved, wastes.
"""

from __future__ import annotations

from fractions import Fraction

from msgspec import Struct

from kvprof.page_order import PageOrder
from kvprof.plan_group import Holding, Part, PlanGroup

__all__ = [
    "POOL_SHARES",
    "REQUEST_WASTES",
    "AllocationPlan",
    "Holding",
    "Limits",
    "Part",
    "PlanGroup",
]

REQUEST_WASTES = (
    "convention",
    "window_slack",
    "reserved_for_later",
    "never_used",
    "lookahead",
    "tail",
    "state_alignment",
    "padding",
    "group_padding",
)
"""Per request, reserved = logical + these, attributed in this order."""

POOL_SHARES = (
    "reserved",
    "reclaimable",
    "free",
    "external",
    "remainder",
    "reserved_blocks",
    "imbalance",
)
"""Per pool, capacity = the sum of these."""


class Limits(Struct, frozen=True):
    """What bounds a plan: the memory for it (None: unknown) and the longest sequence.

    ``order`` is how it is to lie in memory; an engine that has but one order has that. Up to
    ``max_batched_tokens`` tokens are computed at once; ``speculative`` tokens are drafted ahead.
    ``tensor_parallel`` ranks share the layout, of which the one given is a rank's. ``options`` are
    the engine's own settings that were chosen, by name.
    """

    max_model_len: int
    encoder_tokens: int = 0
    memory_bytes: int | None = None
    block_size: int | None = None
    order: PageOrder = PageOrder()
    max_batched_tokens: int | None = None
    speculative: int = 0
    tensor_parallel: int = 1
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str, default: str) -> str:
        """An engine's own setting as it was chosen."""
        return dict(self.options).get(name, default)


class AllocationPlan(Struct, frozen=True):
    """How an engine places a layout.

    Attributes
    ----------
    policy
        Names the compiled allocation policy.
    shared
        Whether all groups take their blocks from one pool, in which a block id has the same bytes
        whatever group holds it. Otherwise each has a pool of its own.
    reserved_blocks
        Blocks of the pool that no sequence gets: a null block. Groups with pools of their own count
        none.
    """

    policy: str
    groups: tuple[PlanGroup, ...]
    limits: Limits
    shared: bool = False
    reserved_blocks: int = 0

    @property
    def bytes_per_block(self) -> int:
        """Bytes of a block id: of the largest group's, where groups have pools of their own."""
        return max((group.bytes_per_block for group in self.groups), default=0)

    @property
    def num_blocks(self) -> int | None:
        """Blocks in all pools; None while no memory is given."""
        if self.limits.memory_bytes is None:
            return None
        if self.shared:
            return max((group.num_blocks or 0 for group in self.groups), default=0)
        return sum(group.num_blocks or 0 for group in self.groups)

    def peak_blocks(self) -> dict[PlanGroup, int]:
        """The most blocks of each group that a sequence of up to ``max_model_len`` tokens holds."""
        longest = (self.limits.max_model_len, self.limits.encoder_tokens)
        return {group: group.peak_blocks(*longest) for group in self.groups}

    @property
    def peak_bytes(self) -> int:
        """The most bytes that such a sequence has set aside."""
        peaks = self.peak_blocks()
        return sum(blocks * group.bytes_per_block for group, blocks in peaks.items())

    def reserved_bytes(self, tokens: int, encoder_tokens: int = 0) -> int:
        """Bytes set aside for one sequence."""
        return sum(
            len(group.blocks(tokens, encoder_tokens)) * group.bytes_per_block
            for group in self.groups
        )

    def wastes(self, logical: int, tokens: int, encoder_tokens: int = 0) -> dict[str, int]:
        """The wastes of one sequence by name; with its ``logical`` bytes they are the reserved.

        What the plan's own caches hold beyond the logical bytes is the engine's ``convention``;
        what a page holds beyond its rows is ``padding``.
        """
        wastes = dict.fromkeys(REQUEST_WASTES, 0)
        wastes["convention"] = -logical
        for group in self.groups:
            shares = group.wastes(tokens, encoder_tokens)
            wastes["convention"] += shares.pop("kept")
            for name, wasted in shares.items():
                wastes[name] += wasted
        return wastes

    @property
    def concurrency(self) -> Fraction | None:
        """Sequences of ``max_model_len`` tokens that the pools hold; None without memory."""
        if self.limits.memory_bytes is None:
            return None
        return self.concurrency_of(self.limits.max_model_len)

    def concurrency_of(self, tokens: int) -> Fraction | None:
        """Sequences of up to so many tokens that the pools hold; None when they hold nothing."""
        if self.shared:
            peaks = (g.peak_blocks(tokens, self.limits.encoder_tokens) for g in self.groups)
            needed = sum(peaks)
            return Fraction(self.num_blocks or 0, needed) if needed else None
        shares = [
            Fraction(group.num_blocks or 0, need)
            for group in self.groups
            if (need := group.peak_blocks(tokens, self.limits.encoder_tokens))
        ]
        return min(shares, default=None)

    @property
    def fits_one(self) -> bool | None:
        """Whether one sequence of ``max_model_len`` tokens fits; None without memory.

        Of a shared pool without the blocks that no sequence gets, as vLLM checks when it starts.
        """
        if self.concurrency is None:
            return None
        if not self.shared:
            return self.concurrency >= 1
        needed = sum(self.peak_blocks().values())
        return needed <= (self.num_blocks or 0) - self.reserved_blocks

    @property
    def max_concurrency(self) -> float | None:
        """The concurrency as the nearest decimal."""
        return None if self.concurrency is None else float(self.concurrency)

    @property
    def capacity_tokens(self) -> int | None:
        """Whole tokens that the pools hold in sequences of ``max_model_len``; exact."""
        if self.concurrency is None:
            return None
        return int(self.concurrency * self.limits.max_model_len)
