"""A replay in plain Python, one token at a time, over memories of sets of blocks or lists of runs.

It says of each step what the compiled loop must say, and shares no code with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kvprof.plan import POOL_SHARES, REQUEST_WASTES

Bytes = dict[str, int]
Key = tuple[int, int, int]
"""A group, a hash, and the tokens up to where it stands for the prompt."""


@dataclass
class Asked:
    """One request; ``tokens`` are those to be held when it is admitted next."""

    arrival_step: int
    prompt: int
    output: int
    hashes: tuple[int, ...] = ()
    tokens: int = 0
    again: bool = False

    @property
    def final(self) -> int:
        return self.prompt + self.output


@dataclass
class Uses:
    """Blocks: of each pool ``(used, reclaimable, free, full)``, and those that each group uses."""

    pools: list[tuple[int, int, int, bool]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)

    @property
    def idle(self) -> list[int]:
        """Of each pool, what is free while another is full."""
        full = [each[3] for each in self.pools]
        return [0 if all(full) or each[3] or not any(full) else each[2] for each in self.pools]


class Memory(Protocol):
    """What the reference asks of a way to allocate."""

    def can_fit(self, asked: Asked) -> bool: ...
    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None: ...
    def grow(self, name: int, tokens: int) -> bool: ...
    def release(self, name: int) -> None: ...
    def shares(self, name: int, tokens: int) -> Bytes: ...
    def pool(self, waits: bool) -> Bytes: ...
    def saved(self) -> Bytes: ...
    def uses(self, waits: bool) -> Uses: ...


class Reference:
    """The loop: `steps` has one entry for each step, `counts` what became of the requests."""

    def __init__(
        self,
        memory: Memory,
        longest: int,
        *,
        swaps: bool = False,
        prefill: float = 0,
        step_ticks: int = 1,
        moved: Callable[[int], int] | None = None,
    ):
        self.memory = memory
        self.longest = longest
        self.swaps = swaps
        self.prefill = prefill
        self.step_ticks = step_ticks
        self.moved = moved
        self.steps: list[tuple[int, Bytes, Bytes, int]] = []
        self.uses: list[Uses] = []
        self.counts = dict.fromkeys(
            ("completed", "rejected", "preemptions", "recomputed_tokens", "hit_tokens"), 0
        )
        self.running: dict[int, tuple[Asked, int]] = {}
        self.waiting: list[Asked] = []
        self.names = 0

    def run(self, requests: list[Asked]) -> None:
        coming = list(requests)
        clock = coming[0].arrival_step
        grows: list[int] = []
        preempted = False
        while coming or self.waiting or self.running:
            preempted = self.grow(grows)
            if not preempted:
                while self.waiting and self.try_admit(self.waiting[0], clock):
                    self.waiting.pop(0)
                while not self.waiting and coming and coming[0].arrival_step <= clock:
                    if not self.try_admit(coming[0], clock):
                        break
                    coming.pop(0)
            arrived = bool(coming) and coming[0].arrival_step <= clock
            if not (coming or self.waiting or self.running):
                return
            ready = [n for n, (_, tick) in self.running.items() if tick <= clock]
            done = [n for n in ready if self.running[n][0].tokens >= self.running[n][0].final]
            grows = [n for n in ready if n not in done]
            ticks = self.step_ticks
            if self.moved is not None:
                ticks += sum(self.moved(self.running[n][0].tokens + 1) for n in grows)
                if not ready:  # on to what comes next
                    nexts = [tick for _, tick in self.running.values()]
                    nexts += [asked.arrival_step for asked in coming[:1] if not arrived]
                    ticks = 1 if preempted else min(nexts) - clock
            self.observe(clock, ticks, waits=arrived or bool(self.waiting))
            for name in done:
                self.memory.release(name)
                del self.running[name]
                self.counts["completed"] += 1
            clock += ticks

    def try_admit(self, asked: Asked, clock: int) -> bool:
        """Whether it waits no longer: it runs, or it is rejected."""
        cached = None
        asked.tokens = asked.tokens if asked.again else asked.prompt
        fits = asked.final <= self.longest and self.memory.can_fit(asked)
        if fits:
            lookup = not (asked.again and self.swaps)
            cached = self.memory.admit(self.names, asked, cached=lookup)
        if cached is None:
            if fits and self.running:
                return False
            self.counts["rejected"] += 1
            return True
        if not asked.again:
            self.counts["hit_tokens"] += cached
        elif not self.swaps:
            self.counts["recomputed_tokens"] += asked.tokens - cached
        delay = 0
        if self.prefill and not (asked.again and self.swaps):
            delay = math.ceil((asked.tokens - cached) / self.prefill)
        self.running[self.names] = (asked, clock + delay)
        self.names += 1
        return True

    @property
    def ticks(self) -> int:
        return sum(ticks for _, _, _, ticks in self.steps)

    def grow(self, names: list[int]) -> bool:
        preempted = False
        for name in names:
            if name not in self.running:
                continue
            while name in self.running and not self.memory.grow(
                name, self.running[name][0].tokens + 1
            ):
                preempted = True
                last = max(self.running)
                victim, _ = self.running.pop(last)
                self.memory.release(last)
                if self.running:
                    self.counts["preemptions"] += 1
                    victim.again = True
                    self.waiting.insert(0, victim)
                else:
                    self.counts["rejected"] += 1
            if name in self.running:
                self.running[name][0].tokens += 1
        return preempted

    def observe(self, clock: int, ticks: int, *, waits: bool) -> None:
        total = dict.fromkeys(("logical", *REQUEST_WASTES), 0)
        for name, (asked, _) in self.running.items():
            for share, size in self.memory.shares(name, asked.tokens).items():
                total[share] += size
        for share, size in self.memory.saved().items():
            total[share] -= size
        self.steps.append((clock, total, self.memory.pool(waits), ticks))
        self.uses.append(self.memory.uses(waits))


def pool_of(**shares: int) -> Bytes:
    return dict.fromkeys(POOL_SHARES, 0) | shares
