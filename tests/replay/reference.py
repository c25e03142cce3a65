"""A replay in plain Python: one token at a time, sets of blocks, lists of free runs.

It says of each step what the compiled loop must say, and shares no code with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kvprof.accounting import cache_groups, entry_bytes, field_bytes, logical_bytes
from kvprof.allocation import Allocation, Blocks, Grow, Pages, Reserve
from kvprof.layout import All, Cache, CacheLayout, Chunk, Clock, Last, Once, Tail, entries, held
from kvprof.plan import POOL_SHARES, REQUEST_WASTES, Part, PlanGroup
from kvprof.size import Placement

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


@dataclass
class BlocksMemory:
    """Sets of block numbers for each sequence and group; pools that count.

    ``known`` has what is cached: the group, a hash and where the hash ends, to those who use it.
    ``mine`` says which blocks of a sequence are cached ones, ``unused`` stand in the order in which
    they became so.
    """

    placement: Placement
    capacity: int
    encoder: int = 0
    prefix_tokens: int = 0
    tables: dict[int, list[set[int]]] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)
    known: dict[Key, list[int]] = field(default_factory=dict)
    unused: list[Key] = field(default_factory=list)
    mine: dict[int, list[dict[int, Key]]] = field(default_factory=dict)
    lacking: int = 0

    def __post_init__(self) -> None:
        plan = self.placement.plan
        assert plan is not None
        self.plan = plan
        if plan.shared:
            self.sizes = [max(0, (plan.num_blocks or 0) - plan.reserved_blocks)]
        else:
            self.sizes = [group.num_blocks or 0 for group in plan.groups]
        self.step = self._step()
        self.layout_groups = cache_groups(self.placement.layout)
        # What a length alone says is worked out once: most steps ask of lengths seen before.
        self.blocks_at: dict[int, list[set[int]]] = {}
        self.shares_at: dict[int, Bytes] = {}

    def _step(self) -> int:
        sizes = [self.plan.limits.block_size or 16] if not self.plan.groups else []
        for group in self.plan.groups:
            if isinstance(group.keep, Once):
                sizes.append((group.holding and group.holding.checkpoint_tokens) or 1)
            elif isinstance(group.keep, Tail):
                sizes.append(group.keep.n * group.entry_tokens)
            else:
                sizes.append(group.block_size)
        if all(isinstance(g.keep, Once) and g.holding is None for g in self.plan.groups):
            sizes.append(self.plan.limits.block_size or 16)
        return math.lcm(*sizes)

    def pool_of(self, group: int) -> int:
        return 0 if self.plan.shared else group

    def needed(self, tokens: int) -> list[set[int]]:
        if tokens not in self.blocks_at:
            self.blocks_at[tokens] = [
                set(group.blocks(tokens, self.encoder)) for group in self.plan.groups
            ]
        return list(self.blocks_at[tokens])  # whose sets are replaced, never changed

    def by_pool(self, counts: list[int]) -> list[int]:
        return [sum(counts)] if self.plan.shared else counts

    def used(self) -> list[int]:
        used = [0] * len(self.sizes)
        for tables in self.tables.values():
            for group, table in enumerate(tables):
                used[self.pool_of(group)] += len(table)
        for key, users in self.known.items():  # counted once for each of them
            used[self.pool_of(key[0])] -= max(0, len(users) - 1)
        return used

    def num_unused(self, pool: int) -> int:
        return sum(self.pool_of(key[0]) == pool for key in self.unused)

    def free(self, pool: int) -> int:
        return self.sizes[pool] - self.used()[pool] - self.num_unused(pool)

    def can_fit(self, asked: Asked) -> bool:
        return all(
            need <= size
            for tokens in (asked.tokens, asked.final)
            for need, size in zip(
                self.by_pool([len(table) for table in self.needed(tokens)]), self.sizes, strict=True
            )
        )

    def room(self, more: list[int]) -> bool:
        for pool, (need, used) in enumerate(zip(self.by_pool(more), self.used(), strict=True)):
            if need > self.sizes[pool] - used:
                self.lacking = pool
                return False
        return True

    def hashed(self, asked: Asked) -> int:
        tokens = min(asked.prompt, len(asked.hashes) * self.prefix_tokens)
        return tokens // self.step * self.step if self.prefix_tokens else 0

    def key(self, asked: Asked, group: int, end: int) -> Key:
        return group, asked.hashes[(end - 1) // self.prefix_tokens], end

    def seen_next(self, group: int, tokens: int) -> set[int]:
        """Blocks of the tokens that the next one sees, of layers that go on from so many."""
        plan = self.plan.groups[group]
        match plan.keep:
            case All():
                seen = range(tokens)
            case Last(n):
                seen = range(max(0, tokens - (n - 1) * plan.entry_tokens), tokens)
            case Chunk(n):
                seen = range(tokens // (n * plan.entry_tokens) * n * plan.entry_tokens, tokens)
            case _:
                seen = range(0)
        return {token // plan.block_size for token in seen}

    def has_states(self, group: int) -> bool:
        plan = self.plan.groups[group]
        if not isinstance(plan.keep, Once):
            return False
        return plan.holding is None or bool(plan.holding.checkpoint_tokens)

    def keys_of(self, asked: Asked, group: int, tokens: int) -> dict[int, Key]:
        size = self.plan.groups[group].block_size
        blocks = self.seen_next(group, tokens)
        keys = {b: self.key(asked, group, (b + 1) * size) for b in sorted(blocks)}
        if tokens and self.has_states(group):
            keys[-1] = self.key(asked, group, tokens)
        return keys

    def longest(self, asked: Asked, groups: list[int], most: int) -> int:
        for tokens in range(most // self.step * self.step, 0, -self.step):
            keys = (key for g in groups for key in self.keys_of(asked, g, tokens).values())
            if all(key in self.known for key in keys):
                return tokens
        return 0

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        hashed = self.hashed(asked) if cached else 0
        groups = list(range(len(self.plan.groups)))
        full = [g for g in groups if isinstance(self.plan.groups[g].keep, All)]
        most = min(hashed, asked.tokens - 1)
        hit = self.longest(asked, groups, most) if groups else 0
        seen = self.longest(asked, full, most) if full else 0
        found = [self.keys_of(asked, g, hit) for g in groups]
        tables = self.needed(asked.tokens)
        mine = [{b: key for b, key in found[g].items() if b in tables[g]} for g in groups]
        more = [
            len(tables[g]) - sum(bool(self.known[key]) for key in mine[g].values()) for g in groups
        ]
        if not self.room(more):  # unused blocks that are found are to be had no longer
            return None
        for g in groups:
            for b in sorted(found[g], reverse=True):
                if b not in mine[g] and not self.known[found[g][b]]:
                    self.unused.remove(found[g][b])
                    self.unused.append(found[g][b])
        for g in groups:
            for key in mine[g].values():
                if not self.known[key]:
                    self.unused.remove(key)
                self.known[key].append(name)
        self.tables[name], self.mine[name], self.lengths[name] = tables, mine, asked.tokens
        self.evict()
        if hashed:
            for g in groups:
                self.remember(name, asked, g, hit, seen if seen > hit else 0)
        return hit

    def remember(self, name: int, asked: Asked, group: int, hit: int, junction: int) -> None:
        """Insert what a prompt leaves, of what it has computed itself."""
        plan = self.plan.groups[group]
        hashed = self.hashed(asked)
        last = min(hashed, (asked.prompt - 1) // self.step * self.step)
        left: list[Key] = []
        if isinstance(plan.keep, All | Chunk):
            blocks = list(range(hashed // plan.block_size))
            keys = {b: self.key(asked, group, (b + 1) * plan.block_size) for b in blocks}
            todo = list(keys.items())
        else:
            todo = []
            for end in (junction, last):
                if end > hit:
                    todo += sorted(self.keys_of(asked, group, end).items())
        for b, key in todo:
            if b >= 0 and b < hit // plan.block_size:
                continue
            if b in self.tables[name][group]:
                self.remember_held(name, group, b, key)
            elif self.known.get(key) == [] and key not in left:
                self.unused.remove(key)
                self.unused.append(key)
            elif key not in self.known:
                pool = self.pool_of(group)
                if self.free(pool) - len(left) > 0 or self.evict_one(pool):
                    self.known[key] = []
                    left.append(key)
        self.unused += reversed(left)

    def remember_held(self, name: int, group: int, block: int, key: Key) -> None:
        if block in self.mine[name][group] or self.known.get(key):
            return
        if key in self.known:
            self.unused.remove(key)
        self.known[key] = [name]
        self.mine[name][group][block] = key

    def evict_one(self, pool: int) -> bool:
        oldest = next((key for key in self.unused if self.pool_of(key[0]) == pool), None)
        if oldest is None:
            return False
        self.unused.remove(oldest)
        del self.known[oldest]
        return True

    def evict(self) -> None:
        for pool in range(len(self.sizes)):
            while self.free(pool) < 0:
                assert self.evict_one(pool)

    def give(self, name: int, group: int, blocks: set[int]) -> None:
        for b in sorted(blocks, reverse=True):
            key = self.mine[name][group].pop(b, None)
            if key is not None:
                self.known[key].remove(name)
                if not self.known[key]:
                    self.unused.append(key)
        self.tables[name][group] = self.tables[name][group] - blocks

    def grow(self, name: int, tokens: int) -> bool:
        tables = self.needed(tokens)
        had, mine = self.tables[name], self.mine[name]
        more = []
        for g, table in enumerate(tables):
            others = sum(b in mine[g] and len(self.known[mine[g][b]]) > 1 for b in had[g] - table)
            more.append(len(table) - len(had[g]) + others)
        if tables != had and not self.room(more):
            return False
        for g, table in enumerate(tables):
            self.give(name, g, had[g] - table)
        self.tables[name], self.lengths[name] = tables, tokens
        self.evict()
        return True

    def release(self, name: int) -> None:
        for g in range(len(self.plan.groups)):
            self.give(name, g, self.tables[name][g])
        del self.tables[name], self.mine[name], self.lengths[name]

    def shares(self, name: int, tokens: int) -> Bytes:
        if tokens not in self.shares_at:
            logical = logical_bytes(self.layout_groups, tokens, self.encoder)
            wastes = self.plan.wastes(logical, tokens, self.encoder)
            self.shares_at[tokens] = {"logical": logical, **wastes}
        return self.shares_at[tokens]

    def saved(self) -> Bytes:
        """What the users of each block say of it, less what it is: needed if one needs it."""
        total: Bytes = dict.fromkeys(("logical", *REQUEST_WASTES), 0)
        for (g, _, end), users in self.known.items():
            if len(users) < 2:
                continue
            plan = self.plan.groups[g]
            block = end // plan.block_size - 1
            lengths = [self.lengths[name] for name in users]
            extra = len(users) - 1
            total["group_padding"] += extra * plan.filler_bytes
            for part in plan.parts:
                size = entry_bytes(part.cache) * len(part.layers)
                rows = plan.rows_in(part)
                padding = part.page_bytes * len(part.layers) - rows * size
                total["padding"] += extra * padding
                kept = [self._kept(plan, part, block, tokens) for tokens in lengths]
                shared = sum(map(len, kept)) - len(set[int]().union(*kept))
                total["convention"] += shared * size
                total["window_slack"] += (extra * rows - shared) * size
            members = {(layer, part.cache.key) for part in plan.parts for layer in part.layers}
            for layer, cache in self.placement.layout.caches():
                if (layer.index, cache.key) in members:
                    rows_of = self._block_rows(plan, cache, block)
                    wanted = [rows_of & set(held(cache, tokens)) for tokens in lengths]
                    shared = sum(map(len, wanted)) - len(set[int]().union(*wanted))
                    total["logical"] += shared * entry_bytes(cache)
                    total["convention"] -= shared * entry_bytes(cache)
        return total

    @staticmethod
    def _block_rows(plan: PlanGroup, cache: Cache, block: int) -> set[int]:
        """Rows that the tokens of a block complete."""
        start, end = block * plan.block_size, (block + 1) * plan.block_size
        return set(range(start // cache.entry_tokens, end // cache.entry_tokens))

    def _kept(self, plan: PlanGroup, part: Part, block: int, tokens: int) -> set[int]:
        cache = part.cache
        rows = self._block_rows(plan, cache, block) & set(held(cache, tokens))
        if part.ring_rows:
            return rows
        first = plan.rows(tokens).start * plan.entry_tokens // cache.entry_tokens
        return {row for row in rows if row >= first}

    def uses(self, waits: bool) -> Uses:
        groups = [0] * len(self.plan.groups)
        for tables in self.tables.values():
            groups = [count + len(table) for count, table in zip(groups, tables, strict=True)]
        for key, users in self.known.items():
            groups[key[0]] -= max(0, len(users) - 1)
        pools = []
        for pool, (size, used) in enumerate(zip(self.sizes, self.used(), strict=True)):
            known = self.num_unused(pool)
            full = size > 0 and (used == size or (waits and pool == self.lacking))
            pools.append((used, known, size - used - known, full))
        return Uses(pools, groups)

    def pool(self, waits: bool) -> Bytes:
        plan = self.plan
        size = [plan.bytes_per_block] if plan.shared else [g.bytes_per_block for g in plan.groups]
        shares = pool_of()
        free = [total - used for total, used in zip(self.sizes, self.used(), strict=True)]
        full = [
            self.sizes[pool] > 0 and (left == 0 or (waits and pool == self.lacking))
            for pool, left in enumerate(free)
        ]
        for pool, left in enumerate(free if size else []):
            idle = any(full) and not full[pool]
            reclaimable = self.num_unused(pool)
            shares["imbalance" if idle else "free"] += (left - reclaimable) * size[pool]
            shares["reclaimable"] += reclaimable * size[pool]
            shares["reserved"] += (self.sizes[pool] - left) * size[pool]
        if plan.shared and size:
            nulls = min(plan.num_blocks or 0, plan.reserved_blocks)
            shares["reserved_blocks"] = nulls * plan.bytes_per_block
        shares["remainder"] = self.capacity - sum(shares.values())
        return shares


def tensors(layout: CacheLayout) -> list[tuple[Cache, int]]:
    """Each cache of each layer, one tensor for each of its fields: rows of so many bytes."""
    return [(cache, field_bytes(field)) for _, cache in layout.caches() for field in cache.fields]


@dataclass
class PagesMemory:
    """Each tensor of each layer by itself, in whole pages."""

    placement: Placement
    capacity: int
    page: int
    encoder: int = 0
    held: dict[int, int] = field(default_factory=dict)

    def pages(self, tokens: int) -> int:
        return sum(len(self._range(*tensor, tokens)) for tensor in tensors(self.placement.kept))

    def _range(self, cache: Cache, row: int, tokens: int) -> range:
        rows = held(cache, tokens, self.encoder)
        if not rows:
            return range(0)
        return range(rows.start * row // self.page, -(-rows.stop * row // self.page))

    def can_fit(self, asked: Asked) -> bool:
        most = self.capacity // self.page
        return max(self.pages(asked.tokens), self.pages(asked.final)) <= most

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        self.held[name] = 0
        if self.grow(name, asked.tokens):
            return 0
        del self.held[name]
        return None

    def grow(self, name: int, tokens: int) -> bool:
        need = self.pages(tokens)
        others = sum(self.held.values()) - self.held[name]
        if others + need > self.capacity // self.page:
            return False
        self.held[name] = need
        return True

    def release(self, name: int) -> None:
        del self.held[name]

    def shares(self, name: int, tokens: int) -> Bytes:
        total = dict.fromkeys(("logical", *REQUEST_WASTES), 0)
        needed = cache_groups(self.placement.layout)
        total["logical"] = logical_bytes(needed, tokens, self.encoder)
        total["convention"] = -total["logical"]
        for cache, row in tensors(self.placement.kept):
            rows, pages = held(cache, tokens, self.encoder), self._range(cache, row, tokens)
            if pages:
                total["convention"] += len(rows) * row
                total["window_slack"] += rows.start * row - pages.start * self.page
                total["tail"] += pages.stop * self.page - rows.stop * row
        return total

    def saved(self) -> Bytes:
        return {}

    def uses(self, waits: bool) -> Uses:
        """Of all groups together: which tensors are one is the program's choice."""
        used, size = sum(self.held.values()), self.capacity // self.page
        full = size > 0 and (waits or used == size)
        return Uses([(used, 0, size - used, full)], [used])

    def pool(self, waits: bool) -> Bytes:
        reserved = sum(self.held.values()) * self.page
        free = self.capacity // self.page * self.page - reserved
        return pool_of(reserved=reserved, free=free, remainder=self.capacity % self.page)


class Line:
    """A contiguous memory, one byte string: which units are taken."""

    def __init__(self, units: int) -> None:
        self.taken = bytearray(units)

    def free_runs(self) -> list[tuple[int, int]]:
        runs, at = [], 0
        while (start := self.taken.find(0, at)) >= 0:
            end = self.taken.find(1, start)
            at = len(self.taken) if end < 0 else end
            runs.append((start, at - start))
            if end < 0:
                break
        return runs

    def take(self, start: int, units: int) -> None:
        assert not any(self.taken[start : start + units])
        self.taken[start : start + units] = b"\x01" * units

    def give(self, start: int, units: int) -> None:
        self.taken[start : start + units] = bytes(units)


def buddy_place(line: Line, units: int) -> int | None:
    """Where a buddy allocator puts a power of two: in the smallest whole free part, the first.

    Free parts are as large as they can be: halves of powers of two that the memory is made of.
    """
    parts, offset = [], 0
    total = len(line.taken)
    for order in reversed(range(total.bit_length())):
        if total & 1 << order:
            parts += _free_parts(line, offset, 1 << order)
            offset += 1 << order
    fitting = [(size, start) for start, size in parts if size >= units]
    return min(fitting)[1] if fitting else None


def _free_parts(line: Line, start: int, size: int) -> list[tuple[int, int]]:
    if not any(line.taken[start : start + size]):
        return [(start, size)]
    if size == 1:
        return []
    half = size // 2
    return _free_parts(line, start, half) + _free_parts(line, start + half, half)


@dataclass
class ReserveMemory:
    """One run for each sequence."""

    placement: Placement
    capacity: int
    reserve: Reserve
    unit: int
    longest: int
    encoder: int = 0

    def __post_init__(self) -> None:
        self.line = Line(self.capacity // self.unit)
        self.runs: dict[int, tuple[int, int, int, int]] = {}

    def most(self, tokens: int) -> int:
        """Bytes of the fullest moment on the way to that length, of each cache by itself."""
        total = 0
        for group in cache_groups(self.placement.kept):
            cache = group.cache
            most = max(entries(cache, t, self.encoder) for t in range(tokens + 1))
            total += most * entry_bytes(cache) * len(group.layers)
        return total

    def tokens_for(self, asked: Asked) -> int:
        match self.reserve.tokens:
            case "max":
                return self.longest
            case "pow2":
                rounded = 1 << (asked.output - 1).bit_length() if asked.output else 0
                return max(asked.final, min(self.longest, asked.prompt + rounded))
        return asked.final

    def units_for(self, asked: Asked) -> int:
        units = -(-self.most(self.tokens_for(asked)) // self.unit)
        buddy = self.reserve.fit == "buddy"
        return 1 << (units - 1).bit_length() if buddy and units else units

    def place_of(self, line: Line, units: int) -> int | None:
        if self.reserve.fit == "buddy":
            return buddy_place(line, units)
        return next((start for start, size in line.free_runs() if size >= units), None)

    def can_fit(self, asked: Asked) -> bool:
        units = self.units_for(asked)
        return units == 0 or self.place_of(Line(len(self.line.taken)), units) is not None

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        units = self.units_for(asked)
        start = self.place_of(self.line, units) if units else 0
        if start is None:
            return None
        self.line.take(start, units)
        self.runs[name] = (start, units, self.tokens_for(asked), asked.final)
        return 0

    def grow(self, name: int, tokens: int) -> bool:
        return True

    def release(self, name: int) -> None:
        start, units, _, _ = self.runs.pop(name)
        self.line.give(start, units)

    def shares(self, name: int, tokens: int) -> Bytes:
        _, units, reserved, final = self.runs[name]
        logical = logical_bytes(cache_groups(self.placement.layout), tokens, self.encoder)
        kept = logical_bytes(cache_groups(self.placement.kept), tokens, self.encoder)
        used, most = self.most(final), self.most(reserved)
        return {
            "logical": logical,
            "convention": kept - logical,
            "reserved_for_later": used - kept,
            "never_used": most - used,
            "padding": units * self.unit - most,
        }

    def saved(self) -> Bytes:
        return {}

    def uses(self, waits: bool) -> Uses:
        return Uses()

    def pool(self, waits: bool) -> Bytes:
        units = len(self.line.taken)
        reserved = sum(self.line.taken) * self.unit
        free = units * self.unit - reserved
        shares = {"external" if waits else "free": free}
        return pool_of(reserved=reserved, remainder=self.capacity - units * self.unit, **shares)


@dataclass
class GrowMemory:
    """One run for each sequence, cache and layer; the longer one is taken before it is given up."""

    placement: Placement
    capacity: int
    unit: int
    encoder: int = 0

    def __post_init__(self) -> None:
        self.line = Line(self.capacity // self.unit)
        self.caches = [
            group.cache for group in cache_groups(self.placement.kept) for _ in group.layers
        ]
        self.runs: dict[int, list[tuple[int, int, int]]] = {}

    def units(self, cache: Cache, tokens: int) -> int:
        return -(-entries(cache, tokens, self.encoder) * entry_bytes(cache) // self.unit)

    def can_fit(self, asked: Asked) -> bool:
        for tokens in (asked.tokens, asked.final):
            sizes = [self.units(cache, tokens) for cache in self.caches]
            moving = [
                size
                for size, cache in zip(sizes, self.caches, strict=True)
                if not isinstance(cache.keep, Once)
            ]
            if sum(sizes) + max(moving, default=0) > len(self.line.taken):
                return False
        return True

    def best(self, units: int) -> int | None:
        if units == 0:
            return 0
        fitting = [(size, start) for start, size in self.line.free_runs() if size >= units]
        return min(fitting)[1] if fitting else None

    def admit(self, name: int, asked: Asked, *, cached: bool) -> int | None:
        self.runs[name] = []
        for cache in self.caches:
            units = self.units(cache, asked.tokens)
            start = self.best(units)
            if start is None:
                self.release(name)
                return None
            self.line.take(start, units)
            self.runs[name].append((start, units, asked.tokens))
        return 0

    def grow(self, name: int, tokens: int) -> bool:
        for i, cache in enumerate(self.caches):
            old, had, at = self.runs[name][i]
            units = self.units(cache, tokens)
            still = isinstance(cache.keep, Once) or cache.clock is Clock.ENCODER
            still = still or tokens % cache.entry_tokens > 0
            if at >= tokens or (still and units == had):
                continue
            start = self.best(units)
            if start is None:
                return False
            self.line.take(start, units)
            self.line.give(old, had)
            self.runs[name][i] = (start, units, tokens)
        return True

    def release(self, name: int) -> None:
        for start, units, _ in self.runs.pop(name):
            self.line.give(start, units)

    def shares(self, name: int, tokens: int) -> Bytes:
        logical = logical_bytes(cache_groups(self.placement.layout), tokens, self.encoder)
        kept = logical_bytes(cache_groups(self.placement.kept), tokens, self.encoder)
        reserved = sum(self.units(cache, tokens) for cache in self.caches) * self.unit
        return {"logical": logical, "convention": kept - logical, "padding": reserved - kept}

    def saved(self) -> Bytes:
        return {}

    def uses(self, waits: bool) -> Uses:
        return Uses()

    def pool(self, waits: bool) -> Bytes:
        units = len(self.line.taken)
        reserved = sum(self.line.taken) * self.unit
        shares = {"external" if waits else "free": units * self.unit - reserved}
        return pool_of(reserved=reserved, remainder=self.capacity - units * self.unit, **shares)


def memory_of(
    placement: Placement,
    allocation: Allocation,
    capacity: int,
    longest: int,
    *,
    unit: int,
    encoder: int = 0,
    prefix_tokens: int = 0,
) -> Memory:
    """The reference of an allocation."""
    match allocation:
        case Blocks():
            return BlocksMemory(placement, capacity, encoder, prefix_tokens)
        case Pages(page):
            return PagesMemory(placement, capacity, page, encoder)
        case Reserve():
            return ReserveMemory(placement, capacity, allocation, unit, longest, encoder)
        case Grow(grown):
            return GrowMemory(placement, capacity, grown, encoder)
