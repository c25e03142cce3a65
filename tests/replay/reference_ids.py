"""The plain replay once more, with the number of every block: stacks of freed ones, one by one."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from .reference import Asked, Key, Reference
from .reference_blocks import BlocksMemory

Ids = list[list[int]]
"""Of one sequence: in each group the ids of its blocks, in their order."""


@dataclass
class NumberedMemory(BlocksMemory):
    """Which block is which: what was freed last comes first, then what was never used.

    Prefixes only of one group that keeps every token.
    """

    ids: dict[int, list[dict[int, int]]] = field(default_factory=dict)
    """Of each sequence and group: block of the sequence to id."""
    cached: dict[Key, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        nulls = self.plan.reserved_blocks if self.plan.shared else 0
        self.fresh = [nulls] * len(self.sizes)
        self.ends = [nulls + size for size in self.sizes]
        self.freed: list[list[int]] = [[] for _ in self.sizes]

    def pop(self, pool: int) -> int:
        if self.freed[pool]:
            return self.freed[pool].pop()
        self.fresh[pool] += 1
        assert self.fresh[pool] <= self.ends[pool]
        return self.fresh[pool] - 1

    def take(self, name: int) -> None:
        for group, held in enumerate(self.tables[name]):
            for block in sorted(held - set(self.ids[name][group])):
                self.ids[name][group][block] = self.pop(self.pool_of(group))

    def begin(self, name: int) -> None:
        """The blocks that were found, and others behind them."""
        if name not in self.ids:
            self.ids[name] = [
                {block: self.cached[key] for block, key in mine.items()} for mine in self.mine[name]
            ]
            self.take(name)

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        hit = super().admit(name, asked, cached=cached)
        if hit is not None:
            self.begin(name)
        return hit

    def remember(self, name: int, asked: Asked, group: int, hit: int, junction: int) -> None:
        self.begin(name)
        super().remember(name, asked, group, hit, junction)

    def remember_held(self, name: int, group: int, block: int, key: Key) -> None:
        before = self.mine[name][group].get(block)
        super().remember_held(name, group, block, key)
        if before is None and block in self.mine[name][group]:
            if key in self.cached:  # nobody used it
                self.freed[self.pool_of(group)].append(self.cached[key])
            self.cached[key] = self.ids[name][group][block]

    def evict_one(self, pool: int) -> bool:
        before = list(self.unused)
        found = super().evict_one(pool)
        self.freed[pool] += [self.cached.pop(key) for key in before if key not in self.known]
        return found

    def give(self, name: int, group: int, blocks: set[int]) -> None:
        mine = dict(self.mine[name][group])
        super().give(name, group, blocks)
        for block in sorted(blocks, reverse=bool(self.prefix_tokens)):
            freed = self.ids[name][group].pop(block)
            if block not in mine:
                self.freed[self.pool_of(group)].append(freed)

    def grow(self, name: int, tokens: int) -> bool:
        if not super().grow(name, tokens):
            return False
        self.take(name)
        return True

    def release(self, name: int) -> None:
        super().release(name)
        del self.ids[name]

    def table(self, name: int) -> Ids:
        return [[blocks[b] for b in sorted(blocks)] for blocks in self.ids[name]]

    def order(self) -> Ids:
        """Of each pool: its blocks as they come when all sequences are gone."""
        for name in sorted(self.tables):
            self.release(name)
        return [
            [
                *reversed(freed),
                *range(self.fresh[pool], self.ends[pool]),
                *(self.cached[key] for key in self.unused),
            ]
            for pool, freed in enumerate(self.freed)
        ]


class FullestTables(Reference):
    """What the tables are when most bytes are reserved, or at step ``until``: lengths and ids.

    ``order`` are the blocks of each pool as they come once those sequences are gone.
    """

    def __init__(self, memory: NumberedMemory, longest: int, *, until: int | None, **given: Any):
        super().__init__(memory, longest, **given)
        self.until = until
        self.most = -1
        self.step = 0
        self.lengths: list[int] = []
        self.tables: list[Ids] = []
        self.order: Ids = []

    def observe(self, clock: int, ticks: int, *, waits: bool) -> None:
        super().observe(clock, ticks, waits=waits)
        assert isinstance(self.memory, NumberedMemory)
        _, _, pool, _ = self.steps[-1]
        if pool["reserved"] > self.most:
            self.most, self.step = pool["reserved"], clock
            self.lengths = [asked.tokens for asked, _ in self.running.values()]
            self.tables = [self.memory.table(name) for name in self.running]
        if clock == self.until:
            self.order = deepcopy(self.memory).order()
