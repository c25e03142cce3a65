"""A bound layout and limits in, an `AllocationPlan` out: groups, blocks, pages, pools.

Everything that a plan says of a sequence is counted here: blocks held, bytes reserved, wastes.
"""

from __future__ import annotations

from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from kvprof.accounting import CacheGroup, cache_groups, entry_bytes
from kvprof.errors import UsageError
from kvprof.layout import Cache, CacheLayout, Clock, Keep, Once, held

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

DEFAULT_BLOCK_SIZE = 16
MAX_BLOCK_SIZE = 2**20


class Limits(Struct, frozen=True):
    """What bounds a plan: the memory for it (None: unknown) and the longest sequence."""

    max_model_len: int
    encoder_tokens: int = 0
    memory_bytes: int | None = None
    block_size: int | None = None


class Segment(Struct, frozen=True):
    """Equal rows that lie together in a page."""

    name: str
    offset_bytes: int
    row_bytes: int


class Part(Struct, frozen=True):
    """The pages of one cache in a group: ``[layers, blocks, page_bytes]``, rows in segments."""

    cache: Cache
    layers: tuple[int, ...]
    page_bytes: int
    segments: tuple[Segment, ...]


class PlanGroup(Struct, frozen=True):
    """Layers with one block table: their retention, block size, pages and pool.

    ``num_blocks`` is the pool's, None while no memory is given.
    """

    keep: Keep
    clock: Clock
    entry_tokens: int
    rows_per_block: int
    block_size: int
    parts: tuple[Part, ...]
    num_blocks: int | None = None

    @property
    def bytes_per_block(self) -> int:
        """Bytes of one block in all layers of the group."""
        return sum(part.page_bytes * len(part.layers) for part in self.parts)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in all layers of the group."""
        return sum(entry_bytes(part.cache) * len(part.layers) for part in self.parts)

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({layer for part in self.parts for layer in part.layers}))

    @property
    def page_bytes(self) -> int:
        """One layer's page, or the sum of all layers' in a group of several page sizes."""
        sizes = {part.page_bytes for part in self.parts}
        return sizes.pop() if len(sizes) == 1 else self.bytes_per_block

    def rows(self, tokens: int, encoder_tokens: int = 0) -> range:
        """The rows that one sequence must keep."""
        return held(self.parts[0].cache, tokens, encoder_tokens)

    def blocks(self, tokens: int, encoder_tokens: int = 0) -> range:
        """The blocks, counted from the sequence's start, that hold those rows."""
        rows = self.rows(tokens, encoder_tokens)
        if not rows:
            return range(0)
        return range(rows.start // self.rows_per_block, (rows.stop - 1) // self.rows_per_block + 1)

    def slack_rows(self, tokens: int, encoder_tokens: int = 0) -> tuple[int, int]:
        """Rows of those blocks before the first row kept (out of the window) and after the last."""
        rows, blocks = self.rows(tokens, encoder_tokens), self.blocks(tokens, encoder_tokens)
        if not rows:
            return 0, 0
        first, end = blocks.start * self.rows_per_block, blocks.stop * self.rows_per_block
        return rows.start - first, end - rows.stop


class AllocationPlan(Struct, frozen=True):
    """How an engine places a layout. ``policy`` names the compiled allocation policy."""

    policy: str
    groups: tuple[PlanGroup, ...]
    limits: Limits

    @property
    def bytes_per_block(self) -> int:
        """Bytes of a block id: of the largest group's, where groups have pools of their own."""
        return max((group.bytes_per_block for group in self.groups), default=0)

    @property
    def num_blocks(self) -> int | None:
        """Blocks in all pools; None while no memory is given."""
        if self.limits.memory_bytes is None:
            return None
        return sum(group.num_blocks or 0 for group in self.groups)

    def blocks_per_sequence(self, tokens: int, encoder_tokens: int = 0) -> int:
        """Blocks that one sequence holds in all groups."""
        return sum(len(group.blocks(tokens, encoder_tokens)) for group in self.groups)

    def reserved_bytes(self, tokens: int, encoder_tokens: int = 0) -> int:
        """Bytes set aside for one sequence."""
        return sum(
            len(group.blocks(tokens, encoder_tokens)) * group.bytes_per_block
            for group in self.groups
        )

    def wastes(self, tokens: int, encoder_tokens: int = 0) -> dict[str, int]:
        """The wastes of one sequence by name; with its logical bytes they make up the reserved."""
        wastes = dict.fromkeys(REQUEST_WASTES, 0)
        for group in self.groups:
            before, after = group.slack_rows(tokens, encoder_tokens)
            wastes["window_slack"] += before * group.row_bytes
            wastes["tail"] += after * group.row_bytes
        return wastes

    @property
    def concurrency(self) -> Fraction | None:
        """Sequences of ``max_model_len`` tokens that the pools hold; None without memory."""
        if self.limits.memory_bytes is None:
            return None
        needs = (
            (group, len(group.blocks(self.limits.max_model_len, self.limits.encoder_tokens)))
            for group in self.groups
        )
        shares = [Fraction(group.num_blocks or 0, need) for group, need in needs if need]
        return min(shares, default=None)

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


def paged_plan(layout: CacheLayout, limits: Limits, block_size: int) -> AllocationPlan:
    """Blocks of ``block_size`` tokens: one block table and one pool for each retention.

    Caches with the same retention share a block table. A pool's share of the memory is the share
    that its group has in one sequence of ``max_model_len`` tokens.

    Raises
    ------
    UsageError
        When the block size is not between 1 and 2**20.
    """
    if not 1 <= block_size <= MAX_BLOCK_SIZE:
        raise UsageError(
            f"--block-size is {block_size}; it must be from 1 to {MAX_BLOCK_SIZE} tokens",
            hint="Engines take 16 by default, others up to 256.",
        )
    by_retention: dict[tuple[Keep, Clock, int], list[CacheGroup]] = {}
    for found in cache_groups(layout):
        cache = found.cache
        by_retention.setdefault((cache.keep, cache.clock, cache.entry_tokens), []).append(found)
    groups = tuple(
        _plan_group(keep, clock, entry_tokens, members, block_size, limits)
        for (keep, clock, entry_tokens), members in by_retention.items()
    )
    plan = AllocationPlan("blocks", groups, limits)
    return plan if limits.memory_bytes is None else _with_pools(plan, limits.memory_bytes)


def _plan_group(
    keep: Keep,
    clock: Clock,
    entry_tokens: int,
    members: list[CacheGroup],
    block_size: int,
    limits: Limits,
) -> PlanGroup:
    if isinstance(keep, Once):
        # A state is one row; its block spans the sequence, however long.
        rows, tokens = 1, limits.max_model_len
    else:
        rows = max(1, block_size // entry_tokens)
        tokens = rows * entry_tokens
    parts = tuple(
        Part(
            member.cache,
            member.layers,
            rows * entry_bytes(member.cache),
            (Segment(member.cache.key, 0, entry_bytes(member.cache)),),
        )
        for member in members
    )
    return PlanGroup(keep, clock, entry_tokens, rows, tokens, parts)


def _with_pools(plan: AllocationPlan, memory_bytes: int) -> AllocationPlan:
    limits = plan.limits
    sequence_bytes = plan.reserved_bytes(limits.max_model_len, limits.encoder_tokens)
    sequences = Fraction(memory_bytes, sequence_bytes) if sequence_bytes else Fraction(0)
    groups = tuple(
        replace(
            group,
            num_blocks=int(
                sequences * len(group.blocks(limits.max_model_len, limits.encoder_tokens))
            ),
        )
        for group in plan.groups
    )
    return replace(plan, groups=groups)
