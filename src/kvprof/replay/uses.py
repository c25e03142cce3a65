"""Pools and a finished replay in, what each pool and group held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kvprof._core import Replay
from kvprof.replay.pools import Pool
from kvprof.replay_result import GroupUse, MeanUse, PoolUse, Use


def pool_uses(pools: Sequence[Pool], loop: Replay, ticks_per_s: float) -> tuple[PoolUse, ...]:
    """Of each pool, and of each group in it: at the fullest instant, on average, the most."""
    groups = iter(loop.groups)
    if not loop.pools:  # nothing was replayed
        return ()
    return tuple(
        _pool_use(pool, found, groups, ticks_per_s)
        for pool, found in zip(pools, loop.pools, strict=True)
    )


def _pool_use(
    pool: Pool, found: dict[str, Any], groups: Iterator[dict[str, Any]], ticks_per_s: float
) -> PoolUse:
    first = found["first_full"]
    return PoolUse(
        label=pool.label,
        num_blocks=pool.num_blocks,
        block_bytes=pool.block_bytes,
        bytes=pool.num_blocks * pool.block_bytes,
        **_uses(pool, found),
        shares=_shares(pool, found, ""),
        mean_shares=_shares(pool, found, "mean_"),
        full_ratio=found["full_ratio"],
        first_full_s=None if first is None else first / ticks_per_s,
        groups=tuple(
            GroupUse(
                label=group.label,
                keep=group.keep,
                caches=group.caches,
                layers=group.layers,
                **_uses(pool, next(groups)),
            )
            for group in pool.groups
        ),
    )


def _uses(pool: Pool, found: dict[str, Any]) -> dict[str, Any]:
    size, usable = pool.block_bytes, pool.num_blocks - pool.reserved_blocks
    fullest, most, mean = found["used"], found["most_used"], found["mean_used"]

    def fill(blocks: float) -> float | None:
        return blocks / usable if usable else None

    return {
        "fullest": Use(fullest, fullest * size, fill(fullest)),
        "mean": MeanUse(mean, mean * size, fill(mean)),
        "most": Use(most, most * size, fill(most)),
    }


def _shares(pool: Pool, found: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Bytes by share, which add up to the pool's."""
    blocks = {
        "reserved": found[f"{prefix}used"],
        "reclaimable": found[f"{prefix}reclaimable"],
        "free": found[f"{prefix}free"] - found[f"{prefix}idle"],
        "reserved_blocks": pool.reserved_blocks,
        "imbalance": found[f"{prefix}idle"],
    }
    return {name: count * pool.block_bytes for name, count in blocks.items()}
