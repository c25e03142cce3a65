"""How fast a replay decodes and prefills, and what it does when memory runs out."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct
from msgspec.structs import replace

from kvprof._core import MoveRule
from kvprof.accounting import entry_bytes
from kvprof.errors import UsageError
from kvprof.layout import Cache, CacheLayout, Last, Mode, TopK
from kvprof.replay.policies import rule
from kvprof.replay_result import MemoryTime

DECODE_TOKENS_PER_S = 50.0


class Pace(Struct, frozen=True, kw_only=True):
    """The clock of a replay, and what it does when memory runs out.

    Attributes
    ----------
    decode_tokens_per_s
        Of each running sequence: a step of the clock is its inverse.
    memory_time
        What a step takes instead of that.
    prefill_tokens_per_s
        None: a prompt is there at once.
    preemption
        ``recompute`` or ``swap``.
    prefix_cache
        Whether blocks of prompts are kept and found again by the hashes of the trace.
    jumps
        From block boundary to block boundary; token by token gives the same, slower.
    """

    decode_tokens_per_s: float = DECODE_TOKENS_PER_S
    memory_time: MemoryTime | None = None
    prefill_tokens_per_s: float | None = None
    preemption: str = "recompute"
    prefix_cache: bool = False
    jumps: bool = True

    @property
    def ticks_per_s(self) -> float:
        """Of the compiled clock: steps, or bytes that are moved."""
        if self.memory_time is None:
            return self.decode_tokens_per_s
        return self.memory_time.bytes_per_s


class StepTime(Struct, frozen=True):
    """What a step takes: so many ticks, and one for each byte that is moved."""

    ticks: int
    moves: list[MoveRule]


def step_time(pace: Pace, layout: CacheLayout) -> StepTime:
    """What a step of decoding takes for sequences that keep this.

    Raises
    ------
    UsageError
        When memory time is asked for and nothing is moved.
    """
    time = pace.memory_time
    if time is None:
        return StepTime(1, [])
    weights = round((time.weights_bytes or 0) * time.bytes_per_s / time.weights_bytes_per_s)
    moves = step_moves(layout)
    if not weights and not moves:
        raise UsageError(
            "a step of decoding moves nothing, so --bandwidth gives it no time",
            hint="Give --weights too, or --decode-tokens-per-s instead.",
        )
    return StepTime(weights, moves)


def step_moves(layout: CacheLayout) -> list[MoveRule]:
    """What one step of decoding moves for a sequence: `step_traffic`, as the compiled loop counts.

    Accesses that move equally many rows are one rule.
    """
    owned = {(layer.index, cache.key): cache for layer, cache in layout.caches()}
    row_bytes: Counter[tuple[Cache, int | None, bool]] = Counter()
    for layer in layout.layers:
        for access in layer.does:
            cache = owned[access.layer, access.key]
            times = 2 if access.mode is Mode.RMW else 1
            most = access.span.n if isinstance(access.span, Last | TopK) else None
            rows = replace(cache, key="", fields=())
            kind = (rows, most, access.mode is Mode.APPEND)
            row_bytes[kind] += times * entry_bytes(cache)
    return [
        MoveRule(rule(rows, size), most_rows=most, appends=appends)
        for (rows, most, appends), size in row_bytes.items()
    ]
