"""A workload and candidates in, the block size that wastes least out, with a row for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from kvprof.accounting import CacheGroup, cache_groups, logical_bytes, wasted_ratio
from kvprof.answer import BlockSizeGroup, BlockSizeRow, SequencesOf
from kvprof.case import Case, Solution
from kvprof.errors import UsageError
from kvprof.layout import Clock
from kvprof.plan import REQUEST_WASTES, AllocationPlan

BLOCK_SIZES = (16, 32, 64, 128, 256)
"""What engines take."""


def least_waste(case: Case, lengths: Sequence[SequencesOf], sizes: Sequence[int]) -> Solution:
    """The block size under which the workload reserves least; of equals the largest.

    Larger blocks are fewer, and lie in longer runs. None when the model keeps states only.

    Raises
    ------
    UsageError
        When the engine takes no block size, or refuses a candidate.
    """
    longest = max(each.tokens for each in lengths)
    plans = {size: _plan(case, longest, size) for size in dict.fromkeys(sizes)}
    if not _in_blocks(next(iter(plans.values()))):
        why = "the model keeps states only, and no block size changes what a state takes"
        return Solution(answer=None, note=why)
    _must_differ(case, longest, plans)
    needed = cache_groups(case.placed(longest).layout)
    encoder_tokens = case.request.encoder_tokens
    rows = tuple(_row(size, plan, needed, lengths, encoder_tokens) for size, plan in plans.items())
    least = min(row.reserved_bytes for row in rows)
    best = sorted(row.block_size for row in rows if row.reserved_bytes == least)
    return Solution(answer=best[-1], evidence=rows, note=_tie(best))


def accepted_sizes(case: Case, longest: int, sizes: Sequence[int] = BLOCK_SIZES) -> list[int]:
    """Those that the engine does not refuse; all of them when it refuses every one."""

    def accepted(size: int) -> bool:
        try:
            _plan(case, longest, size)
        except UsageError:
            return False
        return True

    return [size for size in sizes if accepted(size)] or list(sizes)


def _plan(case: Case, longest: int, size: int) -> AllocationPlan:
    sized = replace(case, request=replace(case.request, block_size=size))
    plan = sized.placed(longest).plan
    if plan is None:
        raise UsageError(
            f"the engine {case.engine.name!r} places nothing in blocks, so it has no block size",
            hint="Try --engine paged; `kvprof list engines` shows them all.",
        )
    return plan


def _in_blocks(plan: AllocationPlan) -> bool:
    """Whether anything grows in blocks of tokens."""
    return any(group.clock is not Clock.SEQUENCE for group in plan.groups)


def _must_differ(case: Case, longest: int, plans: dict[int, AllocationPlan]) -> None:
    """Refuse an engine that places the model alike whatever block size is asked for."""
    probed = [*plans.values()]
    if len(plans) == 1:
        other = next(size for size in BLOCK_SIZES if size not in plans)
        try:
            probed.append(_plan(case, longest, other))
        except UsageError:
            return  # it heeds block sizes, since it refuses one
    if len({plan.groups for plan in probed}) == 1:
        used = max(g.block_size for g in probed[0].groups if g.clock is not Clock.SEQUENCE)
        raise UsageError(
            f"the engine {case.engine.name!r} places {case.model.config.name!r} in blocks of "
            f"{used:,} tokens, whatever block size is asked for",
            hint="Try --engine paged; `kvprof list engines` shows them all.",
        )


def _row(
    size: int,
    plan: AllocationPlan,
    needed: Sequence[CacheGroup],
    lengths: Sequence[SequencesOf],
    encoder_tokens: int,
) -> BlockSizeRow:
    logical = reserved = 0
    waste = Counter(dict.fromkeys(REQUEST_WASTES, 0))
    for each in lengths:
        own = logical_bytes(needed, each.tokens, encoder_tokens)
        logical += each.sequences * own
        reserved += each.sequences * plan.reserved_bytes(each.tokens, encoder_tokens)
        for name, wasted in plan.wastes(own, each.tokens, encoder_tokens).items():
            waste[name] += each.sequences * wasted
    groups = tuple(
        BlockSizeGroup(
            str(group.keep),
            group.page_bytes,
            sum(
                each.sequences * len(group.blocks(each.tokens, encoder_tokens)) for each in lengths
            ),
        )
        for group in plan.groups
        if group.clock is not Clock.SEQUENCE
    )
    ratio = wasted_ratio(logical, reserved)
    return BlockSizeRow(size, logical, reserved, dict(waste), ratio, groups)


def _tie(best: Sequence[int]) -> str | None:
    if len(best) == 1:
        return None
    sizes = f"{', '.join(map(str, best[:-1]))} and {best[-1]}"
    return f"blocks of {sizes} tokens waste the same; the largest are fewer and lie in longer runs"
