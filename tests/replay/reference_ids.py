"""The plain replay once more, with the number of every block: stacks of freed ones, one by one."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from .reference import Asked, BlocksMemory, Reference

Ids = list[list[int]]
"""Of one sequence: in each group the ids of its blocks, in their order."""


@dataclass
class NumberedMemory(BlocksMemory):
    """Which block is which: what was freed last comes first, then what was never used."""

    ids: dict[int, list[dict[int, int]]] = field(default_factory=dict)
    """Of each sequence and group: block of the sequence to id."""
    cached: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        nulls = self.plan.reserved_blocks if self.plan.shared else 0
        self.fresh = [nulls] * len(self.sizes)
        self.ends = [nulls + size for size in self.sizes]
        self.freed: list[list[int]] = [[] for _ in self.sizes]

    def pool_of(self, group: int) -> int:
        return 0 if self.plan.shared else group

    def pop(self, pool: int) -> int:
        if self.freed[pool]:
            return self.freed[pool].pop()
        self.fresh[pool] += 1
        assert self.fresh[pool] <= self.ends[pool]
        return self.fresh[pool] - 1

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        hit = super().admit(name, asked, cached=cached)
        if hit is None:
            return None
        self.ids[name] = [{} for _ in self.plan.groups]
        for key in self.mine[name][: hit // self.plan.groups[0].block_size if hit else 0]:
            self.ids[name][0][len(self.ids[name][0])] = self.cached[key]
        self.take(name)
        for key in self.mine[name]:
            self.cached.setdefault(key, self.ids[name][0][self.place(key)])
        return hit

    def place(self, key: tuple[int, int]) -> int:
        return key[1] // self.plan.groups[0].block_size - 1

    def evict(self) -> None:
        unused = self.unused()
        super().evict()
        self.freed[0] += [self.cached.pop(key) for key in unused if key not in self.known]

    def take(self, name: int) -> None:
        for group, held in enumerate(self.tables[name]):
            for block in sorted(held - set(self.ids[name][group])):
                self.ids[name][group][block] = self.pop(self.pool_of(group))

    def grow(self, name: int, tokens: int) -> bool:
        if not super().grow(name, tokens):
            return False
        for group, held in enumerate(self.tables[name]):
            for block in sorted(set(self.ids[name][group]) - held):
                self.freed[self.pool_of(group)].append(self.ids[name][group].pop(block))
        self.take(name)
        return True

    def release(self, name: int) -> None:
        kept = {self.place(key) for key in self.mine[name]}
        super().release(name)
        for group, blocks in enumerate(self.ids.pop(name)):
            order = sorted(blocks, reverse=bool(self.prefix_tokens))
            stays = kept if group == 0 else set()
            self.freed[self.pool_of(group)] += [blocks[b] for b in order if b not in stays]

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
                *(self.cached[key] for key in self.unused()),
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
