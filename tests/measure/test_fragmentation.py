"""Both sums, to the byte, after traffic, for every family; and what traffic must look like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kvprof.errors import TraceError, UsageError
from kvprof.layout import Last
from kvprof.measure.fit import compiled_plan
from kvprof.measure.fragmentation import Aged, age
from kvprof.measure.pool import Pool
from kvprof.measure.traffic import Traffic, chat
from kvprof.model import Model
from kvprof.plan import POOL_SHARES, REQUEST_WASTES, AllocationPlan
from kvprof.replay.run import Pace
from kvprof.replay_result import ReplayRequests
from kvprof.size import Placement
from kvprof.workload.batch import Batch
from kvprof.workload.synthetic import Synthetic, live_tokens

TOKEN = 768  # bytes of the small gqa: 3 layers x 2 KV heads x 32 x 2 (K, V) x 2 B


def aged(placement: Placement, pool: Pool, seed: int = 0, traffic: Traffic | None = None) -> Aged:
    plan = placement.plan and compiled_plan(placement.plan)
    assert plan is not None
    return age(placement, plan, pool.nbytes, seed, traffic)


def with_blocks(placement: Placement, blocks: int) -> Placement:
    """The same in a pool of so many blocks."""
    plan = placement.plan
    assert plan is not None
    groups = tuple(replace(group, num_blocks=blocks) for group in plan.groups)
    return replace(placement, plan=replace(plan, groups=groups))


def trace_of(
    *rows: tuple[float, int, int] | tuple[float, int, int, tuple[int, ...]],
    block_tokens: int | None = None,
    **pace: object,
) -> Traffic:
    """Requests ``(arrival_s, prompt, output, hashes)``, a step of the clock a second."""
    return Traffic(
        workload=Rows(rows, block_tokens),
        pace=Pace(decode_tokens_per_s=1.0, **pace),  # type: ignore[arg-type]
        skipped_rows=3,
    )


class Rows:
    """A workload of rows, two in a batch."""

    name = "rows"
    notes = ()

    def __init__(self, rows: object, block_tokens: int | None) -> None:
        self.rows = [(*row, ())[:4] for row in rows]  # type: ignore[attr-defined]
        self.block_tokens = block_tokens

    def batches(self, rows: int = 2) -> list[Batch]:
        cut = [self.rows[i : i + rows] for i in range(0, len(self.rows), rows)]
        return [
            Batch(
                np.array([row[0] for row in part], np.float64),
                np.array([row[1] for row in part], np.int64),
                np.array([row[2] for row in part], np.int64),
                np.full(len(part), -1, np.int64),
                np.cumsum([0, *(len(row[3]) for row in part)]).astype(np.int64),
                np.array([h for row in part for h in row[3]], np.uint64),
            )
            for part in cut
        ]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32 - 1), block_size=st.integers(1, 128), tokens=st.integers(1, 3000))
def test_both_sums_hold_after_traffic(
    small_model: Model,
    placement_of: Callable,
    pool: Pool,
    seed: int,
    block_size: int,
    tokens: int,
) -> None:
    placement = placement_of(small_model, tokens, block_size)
    plan = placement.plan
    if not all(group.num_blocks for group in plan.groups):
        return  # a pool without blocks serves no traffic
    check_sums(plan, aged(placement, pool, seed), pool)


def check_sums(plan: AllocationPlan, found: Aged, pool: Pool) -> None:
    """Against the rows and blocks of each sequence by itself; nothing is shared."""
    assert found.bytes["reserved"] == found.bytes["logical"] + sum(found.waste.values())
    assert set(found.waste) == set(REQUEST_WASTES)
    shares = {name: found.pool[name] for name in POOL_SHARES}
    assert found.pool["capacity"] == pool.nbytes == sum(shares.values())
    assert all(size >= 0 for size in shares.values())
    tokens = found.tables.tokens
    rows = [[len(group.rows(length)) for length in tokens] for group in plan.groups]
    logical = sum(sum(r) * group.row_bytes for r, group in zip(rows, plan.groups, strict=True))
    assert found.bytes["logical"] == logical
    reserved = sum(plan.reserved_bytes(length) for length in tokens)
    assert found.bytes["reserved"] == found.pool["reserved"] == reserved
    for group, ids, order in zip(plan.groups, found.tables.ids, found.order, strict=True):
        listed = np.concatenate([np.zeros(0, np.uint32), *ids]).tolist()
        assert len(set(listed)) == len(listed)
        assert sorted(order.tolist()) == list(range(group.num_blocks or 0))


def test_traffic_fills_a_pool_and_turns_it_over(
    small_model: Model, placement_of: Callable, pool: Pool
) -> None:
    placement = placement_of(small_model, 512, 16)
    found = aged(placement, pool)
    assert found.requests["completed"] >= 100
    assert found.requests["live"] == len(found.tables.tokens) > 0
    assert found.trace_requests is None
    if any(isinstance(group.keep, Last) for group in placement.plan.groups):
        assert found.waste["window_slack"] > 0


def test_ageing_is_reproducible(small_model: Model, placement_of: Callable, pool: Pool) -> None:
    placement = placement_of(small_model, 512, 16)
    first, again = (aged(placement, pool, 11) for _ in range(2))
    assert (first.bytes, first.waste, first.pool) == (again.bytes, again.waste, again.pool)
    assert first.tables.tokens == again.tables.tokens
    for one, other in zip(first.order, again.order, strict=True):
        assert one.tolist() == other.tolist()


def test_chat_loads_the_pool_to_95_percent(small: Callable, placed: Callable) -> None:
    plan, _ = placed(small("gqa"), 512, 16)
    comes = chat(plan, seed=0)
    (batch,) = comes.workload.batches(rows=50_000)
    # Blocks that a request holds, summed over its life, a step for each token of its output.
    lives = [
        -(-(prompt + made) // 16)
        for prompt, output in zip(
            batch.prompt_tokens[:2000].tolist(), batch.output_tokens[:2000].tolist(), strict=True
        )
        for made in range(output)
    ]
    steps = float(batch.arrival_s[1999])
    assert sum(lives) / steps / plan.num_blocks == pytest.approx(0.95, rel=0.08)


def test_lengths_have_the_means_that_they_claim() -> None:
    (drawn,) = Synthetic(requests=50_000, seed=1, rate=0.5).batches(rows=50_000)
    # The mean of n log-normal draws of spread 1 varies by 1.31 / sqrt(n) = 0.6 % (one sigma).
    assert drawn.prompt_tokens.mean() == pytest.approx(161.31, rel=0.025)
    assert drawn.output_tokens.mean() == pytest.approx(337.99, rel=0.025)
    assert drawn.arrival_s[-1] == pytest.approx(100_000, rel=0.025)
    assert np.all(np.diff(drawn.arrival_s) >= 0)


def test_requests_are_cut_to_the_longest() -> None:
    (drawn,) = Synthetic(requests=10_000, longest_tokens=100, seed=1).batches(rows=10_000)
    assert (drawn.prompt_tokens + drawn.output_tokens).max() <= 100
    assert drawn.prompt_tokens.min() >= 1
    assert drawn.output_tokens.min() >= 1


def test_long_requests_weigh_more_among_the_live() -> None:
    # One lives 10 steps and holds 4 + 5 on average, one 30 steps and holds 0 + 15:
    # (10 * 9 + 30 * 15) / 40 = 13.5.
    assert live_tokens(np.array([4, 0]), np.array([10, 30])) == 13.5


def test_traffic_is_steady(small: Callable, placement_of: Callable, pool: Pool) -> None:
    found = aged(placement_of(small("gqa"), 512, 16), pool)
    # A queue that grows without end would hold as many as were served.
    assert found.requests["waiting"] < found.requests["completed"] / 4
    assert found.pool["reserved"] > found.pool["capacity"] / 2


def test_a_trace_at_its_fullest(small: Callable, placement_of: Callable, pool: Pool) -> None:
    # Blocks of 16. After 5 steps the first holds 45 tokens in 3 blocks and the second comes with
    # 20 in 2; at 9 the first takes its fourth. It ends after step 12, when the second has 27.
    found = aged(
        placement_of(small("gqa"), 512, 16),
        pool,
        traffic=trace_of((0, 40, 12), (5, 20, 10), (30, 40, 5)),
    )
    assert found.tables.tokens == (49, 24)
    ((first, second),) = found.tables.ids
    assert (first.tolist(), second.tolist()) == ([0, 1, 2, 5], [3, 4])
    assert found.bytes == {"logical": 73 * TOKEN, "reserved": 6 * 16 * TOKEN, "shared": 0}
    # Last in, first out: the second's blocks were freed last, its last one first.
    assert found.order[0][:8].tolist() == [4, 3, 5, 2, 1, 0, 6, 7]
    assert found.requests == {
        "arrived": 2,
        "live": 2,
        "completed": 0,
        "rejected": 0,
        "preemptions": 0,
        "waiting": 0,
        "steps": 10,
    }
    assert found.trace_requests == ReplayRequests(3, 3, 0, 0, 3)


def test_requests_without_output_stay_so(
    small: Callable, placement_of: Callable, pool: Pool
) -> None:
    found = aged(placement_of(small("gqa"), 512, 16), pool, traffic=trace_of((0, 16, 0)))
    assert found.tables.tokens == (16,)
    assert found.trace_requests == ReplayRequests(1, 1, 0, 0, 3)


def test_prefixes_are_shared_in_the_tables(
    small: Callable, placement_of: Callable, pool: Pool
) -> None:
    rows = ((0.0, 40, 20, (1, 2)), (0.0, 40, 20, (1, 3)))
    placement = placement_of(small("gqa"), 512, 16)
    found = aged(placement, pool, traffic=trace_of(*rows, block_tokens=16, prefix_cache=True))
    ((first, second),) = found.tables.ids
    # 49 tokens: four blocks each, of which the first is the same.
    assert len(first) == len(second) == 4
    assert set(first.tolist()) & set(second.tolist()) == {0}
    assert found.bytes["shared"] == 16 * TOKEN
    assert found.bytes["reserved"] == 7 * 16 * TOKEN
    assert found.bytes["logical"] == (49 + 33) * TOKEN


def test_prefill_takes_its_time(small: Callable, placement_of: Callable, pool: Pool) -> None:
    # 40 tokens at 4 a second are there after 10 steps; the first then has grown to 49 and more.
    rows = ((0.0, 40, 20), (8.0, 40, 20))
    placement = placement_of(small("gqa"), 512, 16)
    at_once, slow = (
        aged(placement, pool, traffic=trace_of(*rows, prefill_tokens_per_s=rate))
        for rate in (None, 4.0)
    )
    # At once: the second reaches 49 tokens at step 17, the first has 57. Else at step 27, when the
    # first has 57 too: it has begun ten steps later.
    assert at_once.tables.tokens == (57, 49)
    assert slow.tables.tokens == (57, 49)
    assert (at_once.requests["steps"], slow.requests["steps"]) == (18, 28)


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_a_small_pool_preempts(
    small: Callable, placement_of: Callable, pool: Pool, preemption: str
) -> None:
    placement = with_blocks(placement_of(small("gqa"), 512, 16), 4)
    rows = ((0.0, 32, 8), (0.0, 32, 8))
    found = aged(placement, pool, traffic=trace_of(*rows, preemption=preemption))
    assert found.tables.tokens == (32, 32)  # both fill the pool at once
    assert found.trace_requests == ReplayRequests(2, 2, 0, 1, 3)


def test_requests_that_never_fit(small: Callable, placement_of: Callable, pool: Pool) -> None:
    placement = with_blocks(placement_of(small("gqa"), 512, 16), 4)
    found = aged(placement, pool, traffic=trace_of((0, 65, 1), (1, 16, 1), (9, 60, 5)))
    assert found.tables.tokens == (17,)  # with its only token of output, in two blocks
    assert found.requests["rejected"] == 1
    assert found.trace_requests == ReplayRequests(3, 1, 2, 0, 3)


def test_no_request_fits_at_all(small: Callable, placement_of: Callable, pool: Pool) -> None:
    placement = with_blocks(placement_of(small("gqa"), 512, 16), 4)
    found = aged(placement, pool, traffic=trace_of((0, 65, 1)))
    assert found.tables.tokens == ()
    assert found.pool["free"] == 4 * 16 * TOKEN
    assert sum(found.pool.values()) == 2 * pool.nbytes
    assert found.order[0].tolist() == [0, 1, 2, 3]
    assert found.trace_requests == ReplayRequests(1, 0, 1, 0, 3)


def test_what_waits_is_counted(small: Callable, placement_of: Callable, pool: Pool) -> None:
    # Each request takes all of the pool; the others queue up over several batches of the trace.
    placement = with_blocks(placement_of(small("gqa"), 512, 16), 4)
    rows = [(0.0, 10, 50), *((1.0, 10, 50) for _ in range(6)), (10_000.0, 10, 50)]
    found = aged(placement, pool, traffic=trace_of(*rows))
    # Full at once from 4 x 16 tokens on: four sequences of 10 tokens, the first a step ahead.
    assert found.tables.tokens == (11, 10, 10, 10)
    assert (found.requests["arrived"], found.requests["waiting"]) == (7, 3)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_engines_of_one_pool(
    small: Callable, placement_of: Callable, pool: Pool, engine: str
) -> None:
    placement = placement_of(small("gqa"), 512, None, engine=engine)
    plan = compiled_plan(placement.plan)
    assert plan is not None
    check_sums(plan, aged(placement, pool), pool)
    nulls = aged(placement, pool).pool["reserved_blocks"]
    assert nulls == (16 * TOKEN if engine == "vllm" else 0)  # SGLang's slot 0 is beyond its memory


def test_what_cannot_be(small: Callable, placement_of: Callable, pool: Pool) -> None:
    placement = placement_of(small("gqa"), 512, 16)
    with pytest.raises(UsageError, match="rows has no prefix hashes"):
        aged(placement, pool, traffic=trace_of((0, 16, 1), prefix_cache=True))
    with pytest.raises(TraceError, match="ascend"):
        aged(placement, pool, traffic=trace_of((1, 16, 1), (0, 16, 1)))
