"""A plan in, why it is as it is out: the questions that people ask of engines, with a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kvprof.accounting import entry_bytes
from kvprof.layout import Once
from kvprof.plan import AllocationPlan
from kvprof.result import Reason
from kvprof.units import format_bytes, format_plural, format_ratio


def plan_reasons(plan: AllocationPlan) -> tuple[Reason, ...]:
    """Why a short prompt takes so much, what a concurrency is made of, and what pads."""
    return (
        *_blown_up(plan),
        *_concurrency(plan),
        *_padding_layers(plan),
        *_padded_pages(plan),
    )


def _blown_up(plan: AllocationPlan) -> Iterator[Reason]:
    """Why a prompt of a few tokens takes so much: blocks made as large as a state."""
    grown = [g for g in plan.groups if g.base_block_size and g.block_size > g.base_block_size]
    grown = [group for group in grown if not isinstance(group.keep, Once)]
    if not grown:
        return
    blocks = sum(len(group.blocks(1)) for group in plan.groups)
    least = blocks * plan.bytes_per_block
    share = f", {format_ratio(blocks / plan.num_blocks)} of the pool" if plan.num_blocks else ""
    yield Reason(
        "block_blown_up",
        least,
        "bytes",
        f"a block is {grown[0].block_size:,} tokens and not {grown[0].base_block_size:,}, so that "
        f"a page ({format_bytes(grown[0].page_bytes)}) can hold a state: the shortest sequence "
        f"takes {format_plural(blocks, 'block')} in {format_plural(len(plan.groups), 'group')}, "
        f"{format_bytes(least)}{share}",
    )


def _concurrency(plan: AllocationPlan) -> Iterator[Reason]:
    """Why the maximum concurrency is not the tokens of all blocks over the length of a sequence."""
    if not plan.shared or plan.concurrency is None or len(plan.groups) < 2:
        return
    groups = Counter(str(group.keep) for group in plan.groups)
    blocks: Counter[str] = Counter()
    for group, peak in plan.peak_blocks().items():
        blocks[str(group.keep)] += peak
    parts = ", ".join(
        f"{count:,} in {format_plural(groups[keep], 'group')} of {keep}"
        for keep, count in blocks.items()
    )
    yield Reason(
        "concurrency",
        blocks.total(),
        "blocks",
        f"maximum concurrency is {plan.num_blocks:,} blocks over the {blocks.total():,} that are "
        f"planned for a sequence ({parts}), {float(plan.concurrency):,.2f}, and not the tokens of "
        "all blocks over its length",
    )


def _padding_layers(plan: AllocationPlan) -> Iterator[Reason]:
    """What groups of unequal width cost: layers that are not there."""
    padding: Counter[str] = Counter()
    layers: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for group, peak in plan.peak_blocks().items():
        keep = str(group.keep)
        padding[keep] += group.padding_layers or 0
        layers[keep] += len(group.layers)
        lost[keep] += group.filler_bytes * peak
    for keep, count in padding.items():
        if count:
            yield Reason(
                "padding_layers",
                count / layers[keep],
                "ratio",
                f"{format_plural(count, 'padding layer')} beside {layers[keep]} of {keep}, since "
                f"groups share one block size: {format_ratio(count / layers[keep])} more, "
                f"{format_bytes(lost[keep])} of the blocks planned for a sequence",
            )


def _padded_pages(plan: AllocationPlan) -> Iterator[Reason]:
    """What a page holds beyond its rows."""
    pages = {
        (part.page_bytes, group.rows_in(part) * entry_bytes(part.cache)): part.cache.key
        for group in plan.groups
        for part in group.parts
    }
    for (page, rows), key in pages.items():
        if page > rows:
            yield Reason(
                "padded_page",
                page - rows,
                "bytes",
                f"a page of {page:,} B of {key} holds {rows:,} B: {page - rows:,} B of it, "
                f"{format_ratio((page - rows) / page)}, are padding",
            )
