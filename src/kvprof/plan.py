"""How an engine places a bound layout: an `AllocationPlan` of groups, blocks, pages and pools.

Everything that a plan says of a sequence is counted here: blocks held, bytes reserved, wastes.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd

from msgspec import Struct

from kvprof.accounting import entry_bytes
from kvprof.layout import Cache, Chunk, Clock, Keep, Last, Tail, held
from kvprof.page_order import PageOrder, Segment

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
    ``tensor_parallel`` ranks share the layout, of which the one given is a rank's.
    """

    max_model_len: int
    encoder_tokens: int = 0
    memory_bytes: int | None = None
    block_size: int | None = None
    order: PageOrder = PageOrder()
    max_batched_tokens: int | None = None
    speculative: int = 0
    tensor_parallel: int = 1


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

    def peak_blocks(self, tokens: int, encoder_tokens: int = 0) -> int:
        """The most blocks that one sequence holds on its way to that length.

        A window or a chunk may start anywhere in a block, and a chunk is longest before it is
        dropped: a sequence must be able to live through every length.
        """
        rows, per_block = self.rows(tokens, encoder_tokens), self.rows_per_block
        made = rows.stop
        match self.keep:
            case Last(n) if made > n:
                return (min(made - n, per_block - 1) + n - 1) // per_block + 1
            case Chunk(n):
                return _peak_chunk_blocks(made, n, n, per_block)
            case Tail(n):
                return _peak_chunk_blocks(made, n, n - 1, per_block)
        return len(self.blocks(tokens, encoder_tokens))

    def slack_rows(self, tokens: int, encoder_tokens: int = 0) -> tuple[int, int]:
        """Rows of those blocks before the first row kept (out of the window) and after the last."""
        rows, blocks = self.rows(tokens, encoder_tokens), self.blocks(tokens, encoder_tokens)
        if not rows:
            return 0, 0
        first, end = blocks.start * self.rows_per_block, blocks.stop * self.rows_per_block
        return rows.start - first, end - rows.stop


def _peak_chunk_blocks(made: int, period: int, most: int, per_block: int) -> int:
    """The most blocks under up to ``most`` rows from a multiple of ``period``, of ``made`` rows."""
    spread = per_block // gcd(period, per_block)  # after so many chunks the places repeat
    chunks = min(-(-made // period), spread + 1)
    return max(
        (
            (start % per_block + length - 1) // per_block + 1
            for start in range(0, chunks * period, period)
            if (length := min(most, made - start)) > 0
        ),
        default=0,
    )


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
            kept = len(group.rows(tokens, encoder_tokens))
            before, after = group.slack_rows(tokens, encoder_tokens)
            blocks = len(group.blocks(tokens, encoder_tokens))
            rows_bytes = group.rows_per_block * group.row_bytes
            wastes["convention"] += kept * group.row_bytes
            wastes["window_slack"] += before * group.row_bytes
            wastes["tail"] += after * group.row_bytes
            wastes["padding"] += blocks * (group.bytes_per_block - rows_bytes)
        return wastes

    @property
    def concurrency(self) -> Fraction | None:
        """Sequences of ``max_model_len`` tokens that the pools hold; None without memory."""
        if self.limits.memory_bytes is None:
            return None
        return self.concurrency_of(self.limits.max_model_len)

    def concurrency_of(self, tokens: int) -> Fraction | None:
        """Sequences of up to so many tokens that the pools hold; None when they hold nothing."""
        shares = [
            Fraction(group.num_blocks or 0, need)
            for group in self.groups
            if (need := group.peak_blocks(tokens, self.limits.encoder_tokens))
        ]
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
