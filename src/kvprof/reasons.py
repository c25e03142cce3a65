"""A size result in, why its plan is as it is out: the questions that people ask of engines.

Every answer names the number that it rests on, and follows from the fields of the result alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kvprof.result import CacheFacts, PlanFacts, PlanGroupFacts, Reason, SizeResult
from kvprof.units import format_bytes, format_plural, format_ratio

_STATE = "Once"


def reasons(result: SizeResult) -> tuple[Reason, ...]:
    """The answers that this result gives; none of an engine that does not work in blocks."""
    if result.plan is None:
        return ()
    plan = result.plan
    return (
        *_blown_up(result, plan),
        *_concurrency(result, plan),
        *_padding_layers(plan),
        *_padded_pages(result, plan),
    )


def _blown_up(result: SizeResult, plan: PlanFacts) -> Iterator[Reason]:
    """Why a prompt of a few tokens takes so much: blocks made as large as a state."""
    base = result.block_size
    grown = [g for g in plan.groups if g.keep != _STATE and base and g.block_size > base]
    if not grown or not any(g.keep == _STATE for g in plan.groups):
        return
    least = len(plan.groups) * plan.bytes_per_block
    share = (
        f", {format_ratio(len(plan.groups) / plan.num_blocks)} of the pool"
        if plan.num_blocks
        else ""
    )
    yield Reason(
        "block_blown_up",
        least,
        "bytes",
        f"a block is {grown[0].block_size:,} tokens and not {base:,}, so that the page of a layer "
        f"({format_bytes(grown[0].page_bytes)}) holds a state: the shortest sequence takes a block "
        f"in each of {format_plural(len(plan.groups), 'group')}, {format_bytes(least)}{share}",
    )


def _concurrency(result: SizeResult, plan: PlanFacts) -> Iterator[Reason]:
    """Why the maximum concurrency is not the pool's tokens over the length of a sequence."""
    if plan.num_blocks is None or plan.max_concurrency is None or len(plan.groups) < 2:
        return
    groups = Counter(group.keep for group in plan.groups)
    blocks: Counter[str] = Counter()
    for group in plan.groups:
        blocks[group.keep] += group.blocks_per_sequence
    parts = ", ".join(
        f"{count:,} in {format_plural(groups[keep], 'group')} of {keep}"
        for keep, count in blocks.items()
    )
    yield Reason(
        "concurrency",
        plan.blocks_per_sequence,
        "blocks",
        f"maximum concurrency is {plan.num_blocks:,} blocks over the "
        f"{plan.blocks_per_sequence:,} that a sequence needs ({parts}), "
        f"{plan.max_concurrency:,.2f}, and not the tokens of all blocks over its length",
    )


def _padding_layers(plan: PlanFacts) -> Iterator[Reason]:
    """What groups of unequal length cost: layers that are not there."""
    padding: Counter[str] = Counter()
    layers: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for group in plan.groups:
        padding[group.keep] += group.padding_layers or 0
        layers[group.keep] += len(group.layers)
        lost[group.keep] += (
            (group.padding_layers or 0) * group.page_bytes * group.blocks_per_sequence
        )
    for keep, count in padding.items():
        if count:
            ratio = count / layers[keep]
            yield Reason(
                "padding_layers",
                ratio,
                "ratio",
                f"{format_plural(count, 'padding layer')} beside {layers[keep]} of {keep}, since "
                f"its groups must be of one width: {format_ratio(ratio)} more, "
                f"{format_bytes(lost[keep])} of a sequence",
            )


def _padded_pages(result: SizeResult, plan: PlanFacts) -> Iterator[Reason]:
    """What a page holds beyond its rows."""
    for page, rows in dict.fromkeys(
        (group.page_bytes, rows)
        for group in plan.groups
        if (rows := _rows_bytes(result, group)) is not None
    ):
        if page > rows:
            yield Reason(
                "padded_page",
                page - rows,
                "bytes",
                f"a page of {page:,} B holds {rows:,} B: {page - rows:,} B of it, "
                f"{format_ratio((page - rows) / page)}, are padding",
            )


def _rows_bytes(result: SizeResult, group: PlanGroupFacts) -> int | None:
    """Bytes of the rows of a page, of a group whose layers keep one cache and have one page."""
    held = [c for c in result.caches if c.keep == group.keep and set(group.layers) <= set(c.layers)]
    if len(held) != 1:
        return None
    entry = sum(tensor.bytes for tensor in held[0].tensors)
    return entry * _rows(held[0], group)


def _rows(cache: CacheFacts, group: PlanGroupFacts) -> int:
    return 1 if cache.keep == _STATE else group.block_size // cache.entry_tokens
