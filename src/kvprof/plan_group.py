"""One group of a plan: layers that share a block table, and the blocks, rows and wastes of it."""

from __future__ import annotations

from math import gcd

from msgspec import Struct
from msgspec.structs import replace

from kvprof.accounting import entry_bytes
from kvprof.layout import Cache, Chunk, Clock, Keep, Last, Once, Tail, held
from kvprof.page_order import Segment

_ROW_SHARES = ("kept", "window_slack", "lookahead", "tail", "state_alignment")


class Part(Struct, frozen=True):
    """The pages of one cache in a group: ``[layers, blocks, page_bytes]``, rows in segments.

    ``ring_rows``: each block has a ring of so many rows, which its tokens overwrite in turn, and
    not a row for each (SGLang's compressors); 0: no ring.
    """

    cache: Cache
    layers: tuple[int, ...]
    page_bytes: int
    segments: tuple[Segment, ...]
    ring_rows: int = 0


class Holding(Struct, frozen=True):
    """What an engine holds for a sequence and plans for it, as serving engines do.

    Between two steps what the next token will not see is gone already, so that a window of w holds
    w - 1 rows, and each begun block is held whether or not a row of it is whole.

    Attributes
    ----------
    lookahead_tokens
        Slots set aside behind the last token, for tokens that are drafted.
    longest_tokens
        No slot is set aside beyond so many tokens.
    in_flight_tokens
        Tokens being computed, whose blocks a window cannot free yet: what is planned for.
    retained_tokens
        Tokens kept behind each window, for draft layers that see them again (vLLM) or for prompts
        that share a beginning (SGLang).
    window_step
        Rows that leave a window are freed so many at a time (SGLang), and each window holds w rows
        or more; 0: as soon as they have left.
    state_blocks, planned_state_blocks
        Blocks of a state that are held, and that are planned for.
    checkpoint_tokens
        A state is kept at multiples of so many tokens, for prompts that share a beginning; 0: at
        such an end there is none, None: it is not kept.
    """

    lookahead_tokens: int = 0
    longest_tokens: int = 0
    in_flight_tokens: int = 0
    retained_tokens: int = 0
    window_step: int = 0
    state_blocks: int = 1
    planned_state_blocks: int = 1
    checkpoint_tokens: int | None = None


class PlanGroup(Struct, frozen=True):
    """Layers with one block table: their retention, block size, pages and pool.

    Attributes
    ----------
    keep, clock, entry_tokens, rows_per_block
        Of the group; parts of other ``entry_tokens`` have their own rows.
    num_blocks
        The pool's, null blocks included; None while no memory is given.
    filler_bytes
        Of each block, what no layer has: phantom layers, the rest of a wider group's block.
    base_block_size
        The engine's own block size, where a block was blown up to match a state's page.
    holding
        None: the blocks that hold the rows that are needed, and no others.
    summed
        Whether the page is said to be the sum of all its layers' pages.
    """

    keep: Keep
    clock: Clock
    entry_tokens: int
    rows_per_block: int
    block_size: int
    parts: tuple[Part, ...]
    num_blocks: int | None = None
    filler_bytes: int = 0
    base_block_size: int | None = None
    holding: Holding | None = None
    summed: bool = False

    @property
    def layers_bytes(self) -> int:
        """Bytes of one block in all layers of the group."""
        return sum(part.page_bytes * len(part.layers) for part in self.parts)

    @property
    def bytes_per_block(self) -> int:
        """Bytes of one block id: in all layers of the group, and what no layer has."""
        return self.layers_bytes + self.filler_bytes

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
        return sizes.pop() if len(sizes) == 1 and not self.summed else self.layers_bytes

    @property
    def padding_layers(self) -> int | None:
        """Phantom layers; None where a block's rest is no whole number of them."""
        if self.filler_bytes == 0:
            return 0
        if self.summed or self.filler_bytes % self.page_bytes:
            return None
        return self.filler_bytes // self.page_bytes

    def rows(self, tokens: int, encoder_tokens: int = 0) -> range:
        """The rows that one sequence holds: those it must keep, or what an engine's rule says."""
        needed = held(replace(self.parts[0].cache, keep=self.keep), tokens, encoder_tokens)
        if self.holding is None:
            return needed
        made = needed.stop
        match self.keep:
            case Last(n) if step := self.holding.window_step:
                first = made - n - self.holding.retained_tokens
                return range(max(0, first) // step * step, made)
            case Last(n):
                return range(max(0, made - n + 1 - self.holding.retained_tokens), made)
            case Chunk(n):
                return range(made // n * n, made)
        return needed

    def blocks(self, tokens: int, encoder_tokens: int = 0) -> range:
        """The blocks, counted from the sequence's start, that hold those rows."""
        rows = self.rows(tokens, encoder_tokens)
        if self.holding is None:
            if not rows:
                return range(0)
            first, last = rows.start // self.rows_per_block, (rows.stop - 1) // self.rows_per_block
            return range(first, last + 1)
        if isinstance(self.keep, Once):
            return range(self.holding.state_blocks if rows else 0)
        ends = -(-self._slots_end(tokens, encoder_tokens) // self.block_size)
        return range(rows.start * self.entry_tokens // self.block_size, ends)

    def _slots_end(self, tokens: int, encoder_tokens: int) -> int:
        """Tokens up to the last slot that is set aside."""
        if self.clock is Clock.ENCODER:
            return encoder_tokens
        if self.holding is None or tokens == 0:
            return tokens
        ahead = tokens + self.holding.lookahead_tokens
        return max(tokens, min(ahead, self.holding.longest_tokens))

    def peak_blocks(self, tokens: int, encoder_tokens: int = 0) -> int:
        """The most blocks that one sequence holds on its way to that length, or are planned for it.

        A window or a chunk may start anywhere in a block, and a chunk is longest before it is
        dropped: a sequence must be able to live through every length. Engines with a `Holding` plan
        by formula (vLLM kv_cache_interface.py, max_memory_usage_bytes).
        """
        if self.holding is not None:
            return self._planned_blocks(self.holding, tokens, encoder_tokens)
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

    def _planned_blocks(self, holding: Holding, tokens: int, encoder_tokens: int) -> int:
        length = encoder_tokens if self.clock is Clock.ENCODER else tokens
        if length == 0:
            return 0
        extra = 0
        match self.keep:
            case Once():
                return holding.planned_state_blocks
            case Last(n):
                window = n - 1 + holding.retained_tokens
                length = min(window + holding.in_flight_tokens, length)
                extra = int(self.block_size > 1)  # a window may start inside a block
            case Chunk(n):
                length = min(n + holding.in_flight_tokens, length)
        planned = -(-length // self.block_size) + extra
        if holding.window_step:
            begun = -(-self._slots_end(tokens, encoder_tokens) // self.block_size)
            return min(planned, begun)
        return planned

    def wastes(self, tokens: int, encoder_tokens: int = 0) -> dict[str, int]:
        """Bytes of one sequence's blocks by name; ``kept`` are those of rows that are needed."""
        blocks = self.blocks(tokens, encoder_tokens)
        wastes = dict.fromkeys((*_ROW_SHARES, "padding"), 0)
        for part in self.parts:
            size = entry_bytes(part.cache) * len(part.layers)
            shares = self._row_shares(part, tokens, encoder_tokens)
            for name, rows in zip(_ROW_SHARES, shares, strict=True):
                wastes[name] += rows * size
            padding = part.page_bytes * len(part.layers) - self.rows_in(part) * size
            wastes["padding"] += len(blocks) * padding
        wastes["group_padding"] = len(blocks) * self.filler_bytes
        return wastes

    def rows_in(self, part: Part) -> int:
        """Rows of a part in each block."""
        if part.ring_rows:
            return part.ring_rows
        if part.cache.entry_tokens == self.entry_tokens:
            return self.rows_per_block
        return max(1, self.block_size // part.cache.entry_tokens)

    def _row_shares(
        self, part: Part, tokens: int, encoder_tokens: int
    ) -> tuple[int, int, int, int, int]:
        """Rows of a part's blocks: kept, out of the window, ahead, unfilled, and blown up."""
        blocks = self.blocks(tokens, encoder_tokens)
        if not blocks:
            return 0, 0, 0, 0, 0
        if part.ring_rows:
            return self._ring_shares(part, tokens, blocks)
        if isinstance(self.keep, Once):
            return 1, 0, len(blocks) - 1, 0, 0
        per_block = self.rows_in(part)
        cache = part.cache
        needed = held(cache, tokens, encoder_tokens)
        first = self.rows(tokens, encoder_tokens).start * self.entry_tokens // cache.entry_tokens
        kept = range(max(needed.start, first), needed.stop)
        end = blocks.stop * per_block
        slots = self._slots_end(tokens, encoder_tokens) // cache.entry_tokens
        ahead = max(0, min(slots, end) - kept.stop)
        unfilled = end - kept.stop - ahead
        tail = unfilled
        if self.base_block_size is not None:
            base_rows = max(1, self.base_block_size // cache.entry_tokens)
            tail = min(unfilled, -(kept.stop + ahead) % base_rows)
        before = kept.start - blocks.start * per_block
        return len(kept), before, ahead, tail, unfilled - tail

    def _ring_shares(
        self, part: Part, tokens: int, blocks: range
    ) -> tuple[int, int, int, int, int]:
        """The same of rings: what their tokens have written is needed or outdated."""
        spans = (tokens - block * self.block_size for block in blocks)
        written = sum(max(0, min(part.ring_rows, span)) for span in spans)
        kept = len(held(part.cache, tokens))
        return kept, written - kept, 0, len(blocks) * part.ring_rows - written, 0


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
