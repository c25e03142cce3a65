"""Both sums, to the byte, after traffic, for every family; and what traffic must look like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvprof.layout import Last
from kvprof.measure.fragmentation import age
from kvprof.measure.pool import Pool
from kvprof.model import Model
from kvprof.plan import POOL_SHARES, REQUEST_WASTES
from kvprof.workload.synthetic import Requests, chat_requests


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32 - 1), block_size=st.integers(1, 128), tokens=st.integers(1, 3000))
def test_both_sums_hold_after_traffic(
    small_model: Model, placed: Callable, pool: Pool, seed: int, block_size: int, tokens: int
) -> None:
    plan, needed = placed(small_model, tokens, block_size)
    if not all(group.num_blocks for group in plan.groups):
        return  # a pool without blocks serves no traffic
    aged = age(plan, needed, pool.nbytes, seed)
    assert aged.bytes["reserved"] == aged.bytes["logical"] + sum(aged.waste.values())
    assert set(aged.waste) == set(REQUEST_WASTES)
    shares = {name: aged.pool[name] for name in POOL_SHARES}
    assert aged.pool["capacity"] == pool.nbytes == sum(shares.values())
    assert all(size >= 0 for size in shares.values())
    assert aged.pool["reserved"] == aged.bytes["reserved"]
    rows = [
        [len(group.rows(aged.allocator.tokens(int(s)))) for s in aged.allocator.sequences]
        for group in plan.groups
    ]
    logical = sum(sum(r) * group.row_bytes for r, group in zip(rows, plan.groups, strict=True))
    assert aged.bytes["logical"] == logical


def test_traffic_fills_a_pool_and_turns_it_over(small_model: Model, placed: Callable) -> None:
    plan, needed = placed(small_model, 512, 16)
    aged = age(plan, needed, plan.limits.memory_bytes or 0, seed=0)
    assert aged.batching.completed >= 100
    assert len(aged.allocator.sequences) > 0
    if any(isinstance(group.keep, Last) for group in plan.groups):
        assert aged.waste["window_slack"] > 0


def test_ageing_is_reproducible(small_model: Model, placed: Callable) -> None:
    plan, needed = placed(small_model, 512, 16)
    first, again = (age(plan, needed, plan.limits.memory_bytes or 0, 11) for _ in range(2))
    assert (first.bytes, first.waste, first.pool) == (again.bytes, again.waste, again.pool)


def test_requests_have_the_means_that_they_claim() -> None:
    requests = chat_requests(200_000, longest_tokens=10**9, seed=1).paced(0.5)
    # The mean of n log-normal draws of spread 1 varies by 1.31 / sqrt(n) = 0.3 % (one sigma).
    assert requests.prompt_tokens.mean() == pytest.approx(161.31, rel=0.015)
    assert requests.output_tokens.mean() == pytest.approx(337.99, rel=0.015)
    assert requests.arrival_steps[-1] == pytest.approx(400_000)
    assert np.all(np.diff(requests.arrival_steps) >= 0)


def test_requests_are_cut_to_the_longest() -> None:
    requests = chat_requests(10_000, longest_tokens=100, seed=1)
    assert (requests.prompt_tokens + requests.output_tokens).max() <= 100
    assert requests.prompt_tokens.min() >= 1
    assert requests.output_tokens.min() >= 1


def test_long_requests_weigh_more_among_the_live() -> None:
    # One lives 10 steps and holds 4 + 5 on average, one 30 steps and holds 0 + 15:
    # (10 * 9 + 30 * 15) / 40 = 13.5.
    requests = Requests(np.array([0.0, 1.0]), np.array([4, 0]), np.array([10, 30]))
    assert requests.live_tokens == 13.5


def test_traffic_is_steady(small: Callable, placed: Callable) -> None:
    plan, needed = placed(small("gqa"), 512, 16)
    aged = age(plan, needed, plan.limits.memory_bytes or 0, seed=0)
    # A queue that grows without end would hold as many as were served.
    assert aged.batching.waiting < aged.batching.completed / 4
    assert aged.pool["reserved"] > aged.pool["capacity"] / 2
