"""The reference of block tables: sets of block numbers, with or without cached prefixes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kvprof.accounting import cache_groups, entry_bytes, logical_bytes
from kvprof.layout import All, Cache, Chunk, Last, Once, Tail, held
from kvprof.plan import REQUEST_WASTES, Part, PlanGroup
from kvprof.size import Placement

from .reference import Asked, Bytes, Key, Uses, pool_of


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
        whole = asked.prompt // self.prefix_tokens * self.prefix_tokens
        if whole >= self.step:  # where a hash ends that a longer prompt has too
            last = min(last, whole // self.step * self.step)
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
