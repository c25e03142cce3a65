"""The compiled replay mirrors the retention arithmetic of Python: both hold the same blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof._core import Replay
from kvprof.allocation import Blocks
from kvprof.layout import (
    All,
    Cache,
    CacheLayout,
    Chunk,
    Clock,
    Field,
    Keep,
    Last,
    Layer,
    Once,
    Tail,
)
from kvprof.page_order import Segment
from kvprof.plan import AllocationPlan, Limits, Part, PlanGroup
from kvprof.replay.policies import compiled_policy
from kvprof.size import Placement

KEEPS = st.one_of(
    st.just(All()),
    st.builds(Last, st.integers(1, 300)),
    st.builds(Chunk, st.integers(1, 300)),
    st.builds(Tail, st.integers(1, 300)),
)
BLOCKS = 3000


def group_of(keep: Keep, clock: Clock, rows_per_block: int, entry_tokens: int) -> PlanGroup:
    cache = Cache("c", (Field("x", (("n", 4),), "int8"),), keep, clock, entry_tokens)
    part = Part(cache, (0,), rows_per_block * 4, (Segment("c", 0, 4),))
    tokens = rows_per_block * entry_tokens
    return PlanGroup(keep, clock, entry_tokens, rows_per_block, tokens, (part,), BLOCKS)


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


@settings(max_examples=300, deadline=None)
@given(
    group=GROUPS,
    prompt=st.integers(0, 1000),
    output=st.integers(0, 500),
    encoder_tokens=st.integers(0, 400),
    step=st.integers(0, 500),
    jumps=st.booleans(),
)
def test_the_blocks_of_a_sequence_at_any_length(
    group: PlanGroup, prompt: int, output: int, encoder_tokens: int, step: int, *, jumps: bool
) -> None:
    limits = Limits(2000, encoder_tokens=encoder_tokens, memory_bytes=2**30)
    layout = CacheLayout((Layer(0, (group.parts[0].cache,)),))
    plan = AllocationPlan("blocks", (group,), limits)
    placement = Placement(None, None, layout, layout, plan)  # type: ignore[arg-type]
    policy = compiled_policy(
        placement,
        Blocks(plan),
        capacity_bytes=2**30,
        longest_tokens=2000,
        encoder_tokens=encoder_tokens,
    )
    loop = Replay(policy, ticks_per_s=1.0, jumps=jumps, until_tick=step)
    loop.feed(
        arrival_s=np.zeros(1),
        prompt_tokens=np.array([prompt]),
        output_tokens=np.array([output]),
        hash_offsets=np.zeros(2, np.int64),
        hashes=np.zeros(0, np.uint64),
    )
    loop.finish()
    # A block lasts from one event to the next, at which the loop may stop later than it was asked.
    if loop.now["tick"] > output or not loop.stopped:
        return
    tokens = prompt + loop.now["tick"]
    (ids,) = loop.block_tables(0)
    expected = group.blocks(tokens, encoder_tokens)
    assert loop.live_tokens.tolist() == [tokens]
    assert len(set(ids.tolist())) == len(ids) == len(expected)
    assert loop.now["pool_free"] == (BLOCKS - len(expected)) * group.bytes_per_block
    loop.release_all()
    assert sorted(loop.take_all(0).tolist()) == list(range(BLOCKS))
