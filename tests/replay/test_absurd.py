"""Absurd figures are refused, or replayed: no product leaves its 64 bits, and nothing hangs.

What a sanitizer build is for: it ends the process where arithmetic overflows.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof._core import (
    AllocationPolicy,
    CacheRule,
    MoveRule,
    Replay,
    ReplayGroup,
    ReplayHolding,
    ReplayPart,
    ReplayPool,
    blocks_policy,
    grow_policy,
    reserve_policy,
)

REFUSALS = (ValueError, OverflowError)
ABSURD = (0, 1, 3, 2**31, 2**33, 2**40, 2**50, 2**62)


def figures(*usual: int, least: int = 0, most: int = 2**40) -> st.SearchStrategy[int]:
    """Mostly a usual one: a plan of nothing but absurd ones is refused by the first of them."""
    absurd = [figure for figure in ABSURD if least <= figure <= most]
    return st.integers(0, 15).flatmap(lambda i: st.sampled_from(absurd if i == 0 else usual))


BYTES = figures(1, 2, 128, 4096, most=2**50)
TOKENS = figures(1, 2, 16, 100, least=1)


@st.composite
def rules(draw: st.DrawFn) -> CacheRule:
    return CacheRule(
        keep=draw(st.sampled_from(["all", "last", "chunk", "tail", "once"])),
        keep_entries=draw(TOKENS),
        clock=draw(st.sampled_from(["decoder", "decoder", "encoder", "sequence"])),
        entry_tokens=draw(figures(1, 1, 4, least=1)),
        row_bytes=draw(BYTES),
        begins_at=draw(figures(0)),
    )


@st.composite
def holdings(draw: st.DrawFn) -> ReplayHolding:
    return ReplayHolding(
        lookahead_tokens=draw(figures(0, 3)),
        longest_tokens=draw(figures(400)),
        retained_tokens=draw(figures(0, 16)),
        window_step=draw(figures(0, 16)),
        state_blocks=draw(figures(1, 2)),
    )


@st.composite
def block_groups(draw: st.DrawFn) -> tuple[ReplayGroup, int]:
    """A group, and the bytes of its blocks."""
    rows, cache, padding, filler = draw(TOKENS), draw(rules()), draw(BYTES), draw(BYTES)
    part = ReplayPart(
        cache=cache,
        rows_per_block=rows,
        base_rows=draw(figures(0, 4)),
        padding_bytes=padding,
        ring_rows=draw(figures(0, 4)),
    )
    group = ReplayGroup(
        rule=cache,
        parts=[part],
        rows_per_block=rows,
        block_tokens=draw(figures(1, 16, least=1)),
        row_units=draw(figures(1, 1, 7, least=1)),
        filler_bytes=filler,
        holding=draw(st.none() | holdings()),
        pool=draw(figures(0)),
        ids_per_block=draw(figures(1, 1, 2, least=1)),
        logical=draw(st.lists(rules(), max_size=1)),
        checkpoints=draw(st.booleans()),
    )
    return group, draw(figures(1, 4096, 2**20, least=1, most=2**50))


@st.composite
def block_policies(draw: st.DrawFn) -> AllocationPolicy:
    """Pools of at most 2**20 blocks: each has a table of its blocks."""
    group, size = draw(block_groups())
    blocks = draw(st.sampled_from([0, 1, 2, 100, 2**16, 2**20]))
    return blocks_policy(
        groups=[group],
        pools=[
            ReplayPool(num_blocks=blocks, block_bytes=size, reserved_blocks=draw(figures(0, 0, 1)))
        ],
        logical=draw(st.lists(rules(), max_size=1)),
        capacity_bytes=draw(figures(2**50, blocks * min(size, 2**20), most=2**50)),
        encoder_tokens=draw(figures(0, 24)),
        prefix_tokens=draw(figures(0, 16, most=2**32)),
        prefix_step=draw(figures(16, 32)),
    )


@st.composite
def other_policies(draw: st.DrawFn) -> AllocationPolicy:
    kept = draw(st.lists(rules(), min_size=1, max_size=2))
    shape = {
        "logical": draw(st.just(kept) | st.just([])),
        "unit_bytes": draw(figures(1, 64, 4096, least=1, most=2**50)),
        "capacity_bytes": draw(figures(2**16, 2**22, 2**50, most=2**50)),
        "encoder_tokens": draw(figures(0, 24)),
    }
    if draw(st.booleans()):
        layers = figures(1, 32, most=2**62)
        return grow_policy(tensors=[(rule, draw(layers)) for rule in kept], **shape)
    return reserve_policy(
        kept=kept,
        reserve=draw(st.sampled_from(["max", "pow2", "oracle"])),
        fit=draw(st.sampled_from(["buddy", "first_fit"])),
        longest_tokens=draw(figures(400)),
        **shape,
    )


@st.composite
def replays(draw: st.DrawFn, policies: st.SearchStrategy[AllocationPolicy]) -> Replay:
    rates = st.sampled_from([1.0, 1.0, 1.0, 1e9, 1e-9, 5e-324, 1e308, float("inf")])
    most_rows = st.none() | figures(1, 16)
    moves = st.builds(MoveRule, rules(), most_rows=most_rows, appends=st.booleans())
    return Replay(
        draw(policies),
        ticks_per_s=draw(rates),
        step_ticks=draw(figures(1, 1000, most=2**50)),
        moves=draw(st.lists(moves, max_size=2)),
        encoder_tokens=draw(figures(0, 24)),
        prefill_tokens_per_s=draw(rates | st.just(0.0)),
        preemption=draw(st.sampled_from(["recompute", "swap"])),
        most_samples=draw(st.sampled_from([2, 3, 2048])),
    )


@st.composite
def fed(draw: st.DrawFn, policies: st.SearchStrategy[AllocationPolicy]) -> Replay | None:
    """The replay of a few requests; nothing where it was refused."""
    count = draw(st.integers(1, 4))
    lengths = st.sampled_from([0, 1, 2, 17, 300])
    arrivals = st.sampled_from([0.0, 0.0, 0.0, 0.5, 1e-300, 1e9, 4.6e18, 1e300])
    prompts = st.sampled_from([1, 17, 33, 100, 0, 2**20, 2**32])
    hashes = draw(st.sampled_from([0, 2, 20]))
    try:
        loop = draw(replays(policies))
        loop.feed(
            arrival_s=np.array(sorted(draw(arrivals) for _ in range(count))),
            prompt_tokens=np.array([draw(prompts) for _ in range(count)], np.int64),
            output_tokens=np.array([draw(lengths) for _ in range(count)], np.int64),
            hash_offsets=np.arange(count + 1, dtype=np.int64) * hashes,
            hashes=np.tile(np.arange(hashes, dtype=np.uint64), count),
        )
        loop.finish()
    except REFUSALS:
        return None
    return loop


@given(fed(block_policies()) | fed(other_policies()))
@settings(max_examples=300)
def test_absurd_plans(loop: Replay | None) -> None:
    if loop is None:
        return
    counts = loop.counts
    assert counts["completed"] + counts["rejected"] == counts["total"]
    assert loop.now["live_sequences"] <= counts["most_live"]
    assert all(np.isfinite(mean) for mean in loop.means.values())


def cache(**given: object) -> CacheRule:
    return CacheRule(**{"row_bytes": 1, **given})  # type: ignore[arg-type]


def blocks(rule: CacheRule, *, num_blocks: int = 1, block_bytes: int = 1) -> AllocationPolicy:
    part = ReplayPart(cache=rule, rows_per_block=1)
    return blocks_policy(
        groups=[ReplayGroup(rule=rule, parts=[part], rows_per_block=1, block_tokens=1, pool=0)],
        pools=[ReplayPool(num_blocks=num_blocks, block_bytes=block_bytes)],
        logical=[rule],
        capacity_bytes=2**50,
    )


def test_rows_that_no_request_could_fill() -> None:
    # 2**33 tokens of 2**26 B are 2**59 B, of twice that too many.
    blocks(cache(row_bytes=2**26))
    for refused in (
        lambda: blocks(cache(row_bytes=2**27)),
        lambda: grow_policy(
            tensors=[(cache(row_bytes=2**26), 2)], logical=[], unit_bytes=1, capacity_bytes=1
        ),
    ):
        with pytest.raises(ValueError, match=r"below 2\*\*60"):
            refused()


def test_pools_larger_than_the_memory() -> None:
    blocks(cache(), num_blocks=2**20, block_bytes=2**30)
    with pytest.raises(ValueError, match="fit into the memory"):
        blocks(cache(), num_blocks=2**20 + 1, block_bytes=2**30)


def test_a_step_longer_than_the_clock() -> None:
    # Steps of 2**50 ticks: the clock, of 2**62, ends before 2**13 tokens.
    loop = Replay(blocks(cache(keep="once")), ticks_per_s=1.0, step_ticks=2**50)
    with pytest.raises(OverflowError, match="clock ran out"):
        loop.feed(
            arrival_s=np.zeros(2),
            prompt_tokens=np.ones(2, np.int64),
            output_tokens=np.full(2, 2**13),
            hash_offsets=np.zeros(3, np.int64),
            hashes=np.zeros(0, np.uint64),
        )
