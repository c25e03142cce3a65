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

REFUSALS = (ValueError, OverflowError, MemoryError)
COUNTS = st.sampled_from([0, 1, 2, 3, 16, 2**20, 2**31, 2**33, 2**40])
SIZES = st.sampled_from([1, 2, 128, 4096, 2**31, 2**40, 2**50])
FEW = st.integers(1, 3)


@st.composite
def rules(draw: st.DrawFn) -> CacheRule:
    return CacheRule(
        keep=draw(st.sampled_from(["all", "last", "chunk", "tail", "once"])),
        keep_entries=draw(COUNTS.filter(bool)),
        clock=draw(st.sampled_from(["decoder", "encoder", "sequence"])),
        entry_tokens=draw(COUNTS.filter(bool)),
        row_bytes=draw(SIZES | st.just(0)),
        begins_at=draw(COUNTS),
    )


@st.composite
def holdings(draw: st.DrawFn) -> ReplayHolding:
    names = (
        "lookahead_tokens",
        "longest_tokens",
        "retained_tokens",
        "window_step",
        "state_blocks",
    )
    return ReplayHolding(**{name: draw(COUNTS) for name in names})


@st.composite
def block_groups(draw: st.DrawFn) -> tuple[ReplayGroup, int]:
    """A group, and the bytes of its blocks."""
    rows, row, padding, filler = draw(FEW), draw(SIZES), draw(SIZES | st.just(0)), draw(COUNTS)
    cache = draw(rules())
    part = ReplayPart(
        cache=cache,
        rows_per_block=rows,
        base_rows=draw(COUNTS),
        padding_bytes=padding,
        ring_rows=draw(st.sampled_from([0, 0, rows])),
    )
    group = ReplayGroup(
        rule=draw(st.just(cache) | rules()),
        parts=[part],
        rows_per_block=draw(st.just(rows) | COUNTS.filter(bool)),
        block_tokens=draw(COUNTS.filter(bool)),
        row_units=draw(COUNTS.filter(bool)),
        filler_bytes=filler,
        holding=draw(st.none() | holdings()),
        pool=draw(st.sampled_from([0, 0, 0, 1])),
        ids_per_block=draw(st.sampled_from([1, 1, 2, 2**40])),
        logical=draw(st.lists(rules(), max_size=1)),
        checkpoints=draw(st.booleans()),
    )
    return group, min(2**50, rows * row + padding + filler)


@st.composite
def block_policies(draw: st.DrawFn) -> AllocationPolicy:
    group, size = draw(block_groups())
    blocks = draw(st.sampled_from([0, 1, 2, 100, 2**16, 2**33, 2**40]))
    pool = ReplayPool(
        num_blocks=blocks,
        block_bytes=size,
        reserved_blocks=draw(st.sampled_from([0, 0, 1, 2**40])),
    )
    return blocks_policy(
        groups=[group],
        pools=[pool],
        logical=draw(st.lists(rules(), max_size=1)),
        capacity_bytes=draw(st.sampled_from([min(2**50, blocks * size), 0, 2**50])),
        encoder_tokens=draw(COUNTS),
        prefix_tokens=draw(st.sampled_from([0, 0, 1, 16, 2**32])),
        prefix_step=draw(COUNTS),
    )


@st.composite
def other_policies(draw: st.DrawFn) -> AllocationPolicy:
    kept = draw(st.lists(rules(), min_size=1, max_size=2))
    shape = {
        "logical": draw(st.just(kept) | st.just([])),
        "unit_bytes": draw(SIZES),
        "capacity_bytes": draw(SIZES | st.just(0)),
        "encoder_tokens": draw(COUNTS),
    }
    if draw(st.booleans()):
        layers = st.sampled_from([0, 1, 32, 2**20 + 1, 2**62])
        return grow_policy(tensors=[(rule, draw(layers)) for rule in kept], **shape)
    return reserve_policy(
        kept=kept,
        reserve=draw(st.sampled_from(["max", "pow2", "oracle"])),
        fit=draw(st.sampled_from(["buddy", "first_fit"])),
        longest_tokens=draw(COUNTS),
        **shape,
    )


@st.composite
def replays(draw: st.DrawFn, policies: st.SearchStrategy[AllocationPolicy]) -> Replay:
    rates = st.sampled_from([5e-324, 1e-9, 1.0, 1e9, 1e308, float("inf")])
    moves = st.builds(
        MoveRule,
        rules(),
        most_rows=st.none() | COUNTS,
        appends=st.booleans(),
    )
    return Replay(
        draw(policies),
        ticks_per_s=draw(rates),
        step_ticks=draw(st.sampled_from([0, 1, 10**9, 2**50])),
        moves=draw(st.lists(moves, max_size=2)),
        encoder_tokens=draw(COUNTS),
        prefill_tokens_per_s=draw(rates | st.just(0.0)),
        preemption=draw(st.sampled_from(["recompute", "swap"])),
        most_samples=draw(st.sampled_from([2, 3, 2048])),
    )


@st.composite
def fed(draw: st.DrawFn, policies: st.SearchStrategy[AllocationPolicy]) -> Replay | None:
    """The replay of a few requests; nothing where it was refused."""
    count = draw(FEW)
    lengths = st.sampled_from([0, 1, 2, 17, 300])
    arrivals = st.sampled_from([0.0, 1e-300, 0.5, 1e9, 4.6e18, 1e300])
    prompts = st.sampled_from([0, 1, 17, 2**20, 2**32])
    try:
        loop = draw(replays(policies))
        hashes = draw(st.sampled_from([0, 1, 20]))
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
