"""What ages a pool: chat that is drawn for it, or the requests of a trace, with their clock."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kvprof.layout import All
from kvprof.plan import AllocationPlan
from kvprof.replay.pace import Pace
from kvprof.workload.batch import Workload
from kvprof.workload.synthetic import Synthetic, live_tokens

_LONGEST_TOKENS = 2048
_OFFERED_LOAD = 0.95
_TURNOVERS = 5
_LEAST_COMPLETED = 100
_REQUESTS = 50_000


class Traffic(Struct, frozen=True, kw_only=True):
    """Requests, and when the pool that they leave is looked at.

    Attributes
    ----------
    workload
        The requests; it is read more than once.
    pace
        The clock, and what happens when memory runs out.
    until_completed
        Once so many requests are done; None: when most bytes are reserved.
    skipped_rows
        Rows of a trace that are no requests.
    """

    workload: Workload
    pace: Pace
    until_completed: int | None = None
    skipped_rows: int = 0


def chat(plan: AllocationPlan, seed: int) -> Traffic:
    """Chat at 95 % of what the pools can serve, until they have turned over five times.

    Lengths have ShareGPT's means and are cut so that no request needs more than 2,048 tokens, or
    more than the smallest pool of growing caches has.
    """
    drawn = Synthetic(requests=_REQUESTS, longest_tokens=_longest(plan), seed=seed)
    (batch,) = drawn.batches(rows=_REQUESTS)
    lived = live_tokens(batch.prompt_tokens, batch.output_tokens)
    fits = max(1, int(plan.concurrency_of(round(lived)) or 1))
    rate = _OFFERED_LOAD * fits / float(batch.output_tokens.mean())
    return Traffic(
        workload=replace(drawn, rate=rate),
        pace=Pace(decode_tokens_per_s=1.0),
        until_completed=min(_REQUESTS // 2, max(_LEAST_COMPLETED, _TURNOVERS * fits)),
    )


def _longest(plan: AllocationPlan) -> int:
    growing = [
        (group.num_blocks or 0) * group.block_size
        for group in plan.groups
        if isinstance(group.keep, All)
    ]
    return max(2, min([_LONGEST_TOKENS, *growing]))
