"""CacheAllocator against a model that keeps lists of token positions, one token at a time."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from kvprof._core import CacheAllocator, Group, OutOfBlocks

if TYPE_CHECKING:
    from kvprof._core import Clock, Keep


@dataclass(frozen=True)
class GroupModel:
    """The arguments of a Group, and what it must hold, derived without any formula."""

    num_blocks: int = 1000
    rows_per_block: int = 1
    entry_tokens: int = 1
    keep: "Keep" = "all"
    keep_entries: int = 0
    clock: "Clock" = "decoder"

    def group(self) -> Group:
        return Group(**vars(self))

    @property
    def is_state(self) -> bool:
        return self.keep == "once" or self.clock == "sequence"

    @lru_cache  # noqa: B019
    def entries(self, tokens: int, encoder_tokens: int) -> tuple[int, list[int]]:
        """Entries produced, and the positions of those held."""
        if self.is_state:
            ticks = min(tokens, 1) * self.entry_tokens
        else:
            ticks = encoder_tokens if self.clock == "encoder" else tokens
        produced, held = 0, list[int]()
        for tick in range(1, ticks + 1):
            if tick % self.entry_tokens == 0:
                held = self.after(held, produced)
                produced += 1
        return produced, held

    def after(self, held: list[int], position: int) -> list[int]:
        """The positions held once the entry at ``position`` has come."""
        if self.keep == "chunk" and position % self.keep_entries == 0:
            return [position]
        if self.keep == "tail" and (position + 1) % self.keep_entries == 0:
            return []
        if self.keep == "last" and len(held) == self.keep_entries:
            return [*held[1:], position]
        return [*held, position]

    def blocks(self, tokens: int, encoder_tokens: int) -> list[int]:
        _, held = self.entries(tokens, encoder_tokens)
        return sorted({position // self.rows_per_block for position in held})


@dataclass(eq=False)
class Block:
    """One block of memory; its id is learnt when it is first seen and must not change."""

    id: int | None = None


@dataclass
class SequenceModel:
    tokens: int
    encoder_tokens: int
    tables: list[dict[int, Block]] = field(default_factory=list)


@st.composite
def group_models(draw: st.DrawFn, most_blocks: int = 24) -> GroupModel:
    keep: Keep = draw(st.sampled_from(["all", "last", "chunk", "tail", "once"]))
    return GroupModel(
        num_blocks=draw(st.integers(0, most_blocks)),
        rows_per_block=draw(st.integers(1, 5)),
        entry_tokens=draw(st.integers(1, 3)),
        keep=keep,
        keep_entries=0 if keep in ("all", "once") else draw(st.integers(1, 9)),
        clock=draw(st.sampled_from(["decoder", "encoder", "sequence"])),
    )


class AllocatorMachine(RuleBasedStateMachine):
    """Random operations; whether one must fail follows from the blocks alive after it."""

    @initialize(groups=st.lists(group_models(), min_size=1, max_size=3))
    def start(self, groups: list[GroupModel]) -> None:
        self.groups = groups
        self.allocator = CacheAllocator([group.group() for group in groups])
        self.live: dict[int, SequenceModel] = {}
        self.last_id = -1

    def pick(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(list(self.live)))

    def grown(self, old: SequenceModel, tokens: int) -> SequenceModel:
        tables = [
            {i: table.get(i) or Block() for i in group.blocks(tokens, old.encoder_tokens)}
            for group, table in zip(self.groups, old.tables, strict=True)
        ]
        return SequenceModel(tokens, old.encoder_tokens, tables)

    def alive(self, live: dict[int, SequenceModel], group: int) -> set[Block]:
        return {block for model in live.values() for block in model.tables[group].values()}

    def fits(self, live: dict[int, SequenceModel]) -> bool:
        return all(
            len(self.alive(live, i)) <= group.num_blocks for i, group in enumerate(self.groups)
        )

    def must_fail(self, operation: Any, *args: int) -> None:
        with pytest.raises(OutOfBlocks) as caught:
            operation(*args)
        _, group, needed, free = caught.value.args
        assert needed > free == self.allocator.num_free(group)

    def admitted(self, sequence: int, model: SequenceModel) -> None:
        assert sequence > self.last_id
        self.last_id = sequence
        self.live[sequence] = model

    @rule(tokens=st.integers(0, 40), encoder_tokens=st.integers(0, 12))
    def admit(self, tokens: int, encoder_tokens: int) -> None:
        empty = SequenceModel(0, encoder_tokens, [{} for _ in self.groups])
        model = self.grown(empty, tokens)
        if self.fits({**self.live, -1: model}):
            self.admitted(self.allocator.admit(tokens, encoder_tokens), model)
        else:
            self.must_fail(self.allocator.admit, tokens, encoder_tokens)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), tokens=st.integers(0, 1) | st.integers(0, 15))
    def append(self, data: st.DataObject, tokens: int) -> None:
        sequence = self.pick(data)
        old = self.live[sequence]
        model = self.grown(old, old.tokens + tokens)
        if self.fits({**self.live, sequence: model}):
            self.allocator.append(sequence, tokens)
            self.live[sequence] = model
        else:
            self.must_fail(self.allocator.append, sequence, tokens)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        sequence = self.pick(data)
        parent = self.live[sequence]
        model = SequenceModel(parent.tokens, parent.encoder_tokens)
        for group, table in zip(self.groups, parent.tables, strict=True):
            produced, _ = group.entries(parent.tokens, parent.encoder_tokens)
            full = produced // group.rows_per_block if not group.is_state else 0
            model.tables.append({i: b if i < full else Block() for i, b in table.items()})
        if self.fits({**self.live, -1: model}):
            self.admitted(self.allocator.fork(sequence), model)
        else:
            self.must_fail(self.allocator.fork, sequence)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        sequence = self.pick(data)
        self.allocator.release(sequence)
        del self.live[sequence]
        with pytest.raises(KeyError, match=f"no live sequence {sequence}"):
            self.allocator.release(sequence)

    @invariant()
    def tables_agree_and_blocks_are_conserved(self) -> None:
        assert self.allocator.sequences.tolist() == list(self.live)
        for sequence, model in self.live.items():
            assert self.allocator.tokens(sequence) == model.tokens
            for group in range(len(self.groups)):
                self.check_table(sequence, model, group)
        for i, spec in enumerate(self.groups):
            alive = self.alive(self.live, i)
            assert len({block.id for block in alive}) == len(alive)
            assert self.allocator.num_free(i) + len(alive) == spec.num_blocks

    def check_table(self, sequence: int, model: SequenceModel, group: int) -> None:
        index, ids = self.allocator.block_table(sequence, group)
        table, spec = model.tables[group], self.groups[group]
        produced, _ = spec.entries(model.tokens, model.encoder_tokens)
        assert index == min(table, default=produced // spec.rows_per_block)
        assert len(ids) == len(table)
        for block, block_id in zip(table.values(), ids.tolist(), strict=True):
            block.id = block_id if block.id is None else block.id
            assert block.id == block_id < spec.num_blocks


TestAllocatorMachine = AllocatorMachine.TestCase
TestAllocatorMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(group_models(), st.integers(0, 30), st.integers(0, 30), st.integers(0, 12))
def test_blocks_needed_counts_the_positions_held(
    model: GroupModel, tokens: int, more: int, encoder_tokens: int
) -> None:
    allocator = CacheAllocator([model.group()])
    for count in (tokens, tokens + more):
        expected = len(model.blocks(count, encoder_tokens))
        assert allocator.blocks_needed(0, count, encoder_tokens) == expected


@given(st.lists(group_models(), min_size=1, max_size=3), st.lists(st.integers(0, 12), max_size=5))
def test_appending_many_tokens_equals_appending_one_by_one(
    models: list[GroupModel], pieces: list[int]
) -> None:
    groups = [Group(**{**vars(model), "num_blocks": 200}) for model in models]
    at_once, one_by_one = CacheAllocator(groups), CacheAllocator(groups)
    many, single = at_once.admit(0, 7), one_by_one.admit(0, 7)
    for tokens in pieces:
        at_once.append(many, tokens)
        for _ in range(tokens):
            one_by_one.append(single)
        for group in range(len(groups)):
            index, ids = at_once.block_table(many, group)
            same_index, same_ids = one_by_one.block_table(single, group)
            assert (index, len(ids)) == (same_index, len(same_ids))
