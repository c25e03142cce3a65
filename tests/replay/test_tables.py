"""The block tables of the fullest moment, id by id, against a plain replay that numbers its blocks.

And what is free then, in the order in which it is handed out.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof._core import Replay
from kvprof.allocation import Blocks
from kvprof.errors import UsageError

from .reference_ids import FullestTables, NumberedMemory
from .test_against_reference import (
    ARCHITECTURES,
    ENCODER,
    case_of,
    compiled,
    need_bytes,
    placed,
    requests_of,
)


def check(
    architecture: str, engine: str, seed: int, longest: int = 90, *, hashed: bool = False
) -> FullestTables:
    """Both replays of the same requests up to the fullest moment."""
    random = np.random.default_rng(seed)
    shape = {"tokens": longest, "max_model_len": longest, "encoder_tokens": ENCODER}
    if engine == "paged":
        shape["block_size"] = int(random.choice([1, 4, 16]))
    _, placement, allocation = placed(case_of(architecture, engine, **shape))
    assert isinstance(allocation, Blocks)
    share = float(random.choice([0.6, 1.1, 2.6]))
    capacity = int(need_bytes(allocation, placement, longest) * share)
    _, placement, allocation = placed(case_of(architecture, engine, **shape, memory_bytes=capacity))
    assert isinstance(allocation, Blocks)
    swaps, prefill = bool(random.integers(0, 2)), int(random.choice([0, 0, 7]))
    prefix_tokens = 8 if hashed else 0

    def reference(until: int | None) -> FullestTables:
        memory = NumberedMemory(placement, capacity, ENCODER, prefix_tokens)
        expected = FullestTables(memory, longest, swaps=swaps, prefill=prefill, until=until)
        expected.run(requests_of(seed, longest, hashed=hashed))
        return expected

    expected = reference(None)
    order = reference(expected.step).order or NumberedMemory(placement, capacity).order()
    for jumps in (False, True):
        loop = compiled(
            placement,
            allocation,
            capacity,
            longest,
            requests_of(seed, longest, hashed=hashed),
            prefix_tokens=prefix_tokens,
            jumps=jumps,
            preemption="swap" if swaps else "recompute",
            prefill_tokens_per_s=float(prefill),
            until_tick=expected.step,
        )
        assert loop.stopped or not expected.steps
        assert loop.now == loop.fullest
        check_tables(loop, expected, len(allocation.plan.groups))
        loop.release_all()
        assert [loop.take_all(pool).tolist() for pool in range(len(order))] == order
    return expected


def check_tables(loop: Replay, expected: FullestTables, groups: int) -> None:
    assert loop.live_tokens.tolist() == expected.lengths
    for group in range(groups):
        found = [ids.tolist() for ids in loop.block_tables(group)]
        assert found == [ids[group] for ids in expected.tables]


@pytest.mark.parametrize("engine", ["paged", "vllm", "sglang"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(architecture: str, engine: str) -> None:
    with suppress(UsageError):
        for seed in range(2):
            check(architecture, engine, seed)


@pytest.mark.parametrize("engine", ["paged", "vllm", "sglang"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_shared_prefixes(engine: str, seed: int) -> None:
    check("gqa", engine, seed, hashed=True)


def test_prefixes_are_shared_in_these_tables() -> None:
    """Of forty replays in some the fullest moment has a block in two tables."""
    shared = 0
    for seed in range(40):
        tables = check("gqa", "paged", seed, hashed=True).tables
        listed = [block for (ids,) in tables for block in ids]
        shared += len(set(listed)) < len(listed)
    assert shared > 4
