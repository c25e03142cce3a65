"""A plan with pools in, which pool is full first at each context out.

Pools are divided for sequences of ``max_model_len`` tokens. At another context sequences need the
groups in other proportions: states and windows do not grow with it, full attention does. One pool
is full before the others, and what they have left is idle. In one pool for all nothing is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

from kvprof.plan import AllocationPlan, PlanGroup
from kvprof.result import BalanceGroup, BalancePoint

CONTEXTS = (1024, 4096, 32_768, 131_072)
"""Contexts that are always shown, in tokens."""
SHARED_POOL = "all groups"
"""What a pool is called that several groups take their blocks from."""


def balance_points(
    plan: AllocationPlan, contexts: Iterable[int], concurrency: Sequence[int] = ()
) -> tuple[BalancePoint, ...]:
    """Points for each context, in tokens: for the most sequences that fit, then for so many each.

    Nothing for a plan without memory or with fewer than two groups: there is nothing to balance.
    In one pool for all groups none is full before another; what each takes of it is there.
    """
    different = set(group_labels(plan.groups)) if plan.shared else plan.groups
    if plan.limits.memory_bytes is None or len(different) < 2:
        return ()
    points = (
        _point(plan, tokens, sequences) for tokens in contexts for sequences in (None, *concurrency)
    )
    return tuple({(point.tokens, point.sequences): point for point in points}.values())


def _point(plan: AllocationPlan, tokens: int, sequences: int | None) -> BalancePoint:
    peaks = [group.peak_blocks(tokens, plan.limits.encoder_tokens) for group in plan.groups]
    concurrency = plan.concurrency_of(tokens)
    most = None if concurrency is None else int(concurrency)
    shown = sequences or most or 1
    if plan.shared:
        return _shared_point(plan, tokens, most, shown, peaks)
    full = [
        bool(peak) and Fraction(group.num_blocks or 0, peak) == concurrency
        for group, peak in zip(plan.groups, peaks, strict=True)
    ]
    left = (
        ((group.num_blocks or 0) - (most or 0) * peak) * group.bytes_per_block
        for group, peak, first in zip(plan.groups, peaks, full, strict=True)
        if not first
    )
    labels = group_labels(plan.groups)
    return BalancePoint(
        tokens=tokens,
        sequences_that_fit=most,
        sequences=shown,
        fills_first=tuple(label for label, first in zip(labels, full, strict=True) if first),
        groups=tuple(map(_group, plan.groups, (shown * peak for peak in peaks))),
        idle_bytes=sum(left) if any(full) else 0,
    )


def _shared_point(
    plan: AllocationPlan, tokens: int, most: int | None, shown: int, peaks: Sequence[int]
) -> BalancePoint:
    """Groups with one label hold alike, and are shown as one."""
    needed: dict[str, list[tuple[PlanGroup, int]]] = {}
    for label, group, peak in zip(group_labels(plan.groups), plan.groups, peaks, strict=True):
        needed.setdefault(label, []).append((group, shown * peak))
    blocks = plan.num_blocks or 0
    groups = (
        BalanceGroup(
            keep=str(alike[0][0].keep),
            caches=group_caches(alike[0][0]),
            layers=sum(len(group.layers) for group, _ in alike),
            blocks=blocks,
            needed=sum(count for _, count in alike),
            fill=float(Fraction(sum(count for _, count in alike), blocks)) if blocks else None,
        )
        for alike in needed.values()
    )
    return BalancePoint(tokens, most, shown, (SHARED_POOL,), tuple(groups), 0)


def _group(group: PlanGroup, needed: int) -> BalanceGroup:
    blocks = group.num_blocks or 0
    fill = float(Fraction(needed, blocks)) if blocks else None
    return BalanceGroup(
        str(group.keep), group_caches(group), len(group.layers), blocks, needed, fill
    )


def group_labels(groups: Sequence[PlanGroup]) -> tuple[str, ...]:
    """What to call each group: its retention, and its caches where those of another differ."""
    kinds = Counter(keep for keep, _ in {(str(g.keep), group_caches(g)) for g in groups})
    return tuple(
        str(group.keep)
        if kinds[str(group.keep)] == 1
        else f"{group.keep} {' '.join(group_caches(group))}"
        for group in groups
    )


def group_caches(group: PlanGroup) -> tuple[str, ...]:
    """The caches that a group is about, each once."""
    return tuple(dict.fromkeys(part.cache.key for part in group.parts))
