"""The compiled allocator mirrors the retention arithmetic of Python: both give the same blocks."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kvprof._core import CacheAllocator
from kvprof.layout import All, Cache, Chunk, Clock, Field, Keep, Last, Once, Tail
from kvprof.measure.regions import compiled_group
from kvprof.page_order import Segment
from kvprof.plan import Part, PlanGroup

KEEPS = st.one_of(
    st.just(All()),
    st.builds(Last, st.integers(1, 300)),
    st.builds(Chunk, st.integers(1, 300)),
    st.builds(Tail, st.integers(1, 300)),
)


def group_of(keep: Keep, clock: Clock, rows_per_block: int, entry_tokens: int) -> PlanGroup:
    cache = Cache("c", (Field("x", (("n", 4),), "int8"),), keep, clock, entry_tokens)
    part = Part(cache, (0,), rows_per_block * 4, (Segment("c", 0, 4),))
    return PlanGroup(
        keep, clock, entry_tokens, rows_per_block, rows_per_block * entry_tokens, (part,)
    )


GROUPS = st.one_of(
    st.builds(
        group_of,
        KEEPS,
        st.sampled_from([Clock.DECODER, Clock.ENCODER]),
        st.integers(1, 40),
        st.integers(1, 20),
    ),
    st.just(group_of(Once(), Clock.SEQUENCE, 1, 1)),
)


@settings(max_examples=400)
@given(GROUPS, st.integers(0, 2**40), st.integers(0, 2**40))
def test_blocks_needed(group: PlanGroup, tokens: int, encoder_tokens: int) -> None:
    allocator = CacheAllocator([compiled_group(group)])
    needed = allocator.blocks_needed(0, tokens, encoder_tokens)
    assert needed == len(group.blocks(tokens, encoder_tokens))


@settings(max_examples=200)
@given(GROUPS, st.integers(0, 400), st.integers(0, 400), st.lists(st.integers(0, 50), max_size=6))
def test_block_tables_while_a_sequence_grows(
    group: PlanGroup, tokens: int, encoder_tokens: int, steps: list[int]
) -> None:
    allocator = CacheAllocator([compiled_group(replace(group, num_blocks=10_000))])
    sequence = allocator.admit(tokens, encoder_tokens)
    for step in [0, *steps]:
        if step:
            allocator.append(sequence, step)
            tokens += step
        expected = group.blocks(tokens, encoder_tokens)
        first, ids = allocator.block_table(sequence, 0)
        assert len(ids) == len(set(ids.tolist())) == len(expected)
        assert allocator.num_free(0) == 10_000 - len(expected)
        if expected:
            assert first == expected.start
