"""Results of `kvprof replay` in, the table "Which pool is full first" out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from kvprof.replay_result import GroupUse, PoolUse, ReplayResult
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import format_bytes

_NOTES = (
    "Of a pool's blocks, those that sequences held: at the fullest instant, on average, at most. "
    "Full: of the time, no block was left, or fewer than the request that waited asked for; and "
    "when that was first. Idle: free, on average, while another pool was full.",
)


def pools_sheets(results: Sequence[ReplayResult]) -> list[Sheet]:
    """One table of all results with more than one pool or group; none where there is none."""
    divided = [each for each in results if sum(len(pool.groups) for pool in each.pools) > 1]
    if not divided:
        return []
    models = len({each.model.name for each in divided}) > 1
    columns = (
        *((Column("model", "left"),) if models else ()),
        Column("engine", "left"),
        Column("pool or group", "left"),
        Column("size"),
        Column("fullest"),
        Column("average"),
        Column("most"),
        Column("full"),
        Column("first full"),
        Column("idle"),
    )
    rows = dict.fromkeys(
        (*((each.model.name,) if models else ()), heading(each, divided), *cells)
        for each in divided
        for pool in each.pools
        for cells in _pool_rows(pool)
    )
    return [Sheet("Which pool is full first", columns, tuple(rows), _NOTES)]


def heading(result: ReplayResult, others: Sequence[ReplayResult]) -> str:
    """The engine, and the block size where it was replayed with several."""
    sizes = {each.block_size for each in others if each.engine == result.engine}
    return result.engine if len(sizes) == 1 else f"{result.engine} {result.block_size}"


def _pool_rows(pool: PoolUse) -> Iterator[tuple[str, ...]]:
    """The pool, and under it its groups where there are several; those that are alike together."""
    first = pool.first_full_s
    idle = pool.mean_shares["imbalance"] / pool.bytes if pool.bytes else 0
    yield (
        pool.label,
        format_bytes(pool.bytes),
        *_fills(pool, 1),
        f"{pool.full_ratio:.1%}" if pool.full_ratio else "-",
        "-" if first is None else f"{first:,.0f} s",
        f"{idle:.1%}" if idle else "-",
    )
    if len(pool.groups) == 1:
        return
    for label, alike in groupby(sorted(pool.groups, key=_label), key=_label):
        groups = list(alike)
        count = len(groups)
        name = f"  {label}" if count == 1 else f"  {count} x {label}"
        yield (name, "-", *_fills(groups[0], count), "-", "-", "-")


def _label(group: GroupUse) -> str:
    return group.label


def _fills(use: PoolUse | GroupUse, count: int) -> tuple[str, str, str]:
    """Of one, or of several that hold the same: alike groups have the same blocks at all times."""
    fullest, mean, most = (
        "-" if each.fill is None else f"{each.fill * count:.1%}"
        for each in (use.fullest, use.mean, use.most)
    )
    return fullest, mean, most
