"""A decode step and the capacity, by hand from given bandwidths."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvprof.binding import Dtypes, bind
from kvprof.measure.derived import capacity, decode_step, pool_balance
from kvprof.measure.jobs import Choice, Job, Streamed
from kvprof.measure.passes import Pass
from kvprof.measure.sampler import Paired
from kvprof.registry import registry
from kvprof.size import Request

BF16 = Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16")
CEILINGS = {"read": 1000.0, "write": 100.0, "copy": 1.0, "rmw": 50.0}


def stream(op: str, cache: str, order: str, tokens: int, bytes_per_s: float) -> Streamed:
    job = Job(
        op=op,
        cache=cache,
        order=order,
        sequences=1,
        tokens=tokens,
        run_bytes=1,
        footprint_bytes=1,
        ceiling="read",
        kernel="",
        variants=(),
        verify=lambda variant: None,
        run=lambda variant: Pass(1.0, 1, 0.0, 0.0),
    )
    paired = Paired((1.0,), (1.0, 1.0), int(bytes_per_s), bytes_per_s, 1.0, 0, {}, False)
    return Streamed(job, Choice("", {}), paired)


def test_each_traffic_runs_at_its_own_streams_bandwidth(small: Callable) -> None:
    layout = bind(small("gqa").layout, BF16)
    streams = [
        stream("decode_read", "attention", "shuffled", 100, 1.0),
        stream("decode_read", "attention", "fresh", 100, 500.0),
        stream("append", "attention", "fresh", 100, 1.0),
        stream("append", "attention", "shuffled", 1, 1.0),
        stream("append", "attention", "fresh", 1, 20.0),
    ]
    step = decode_step(layout, Request(tokens=100, sequences=2), streams, CEILINGS, None)
    # 768 B per token: two sequences read 2 x 76,800 B at 500 B/s and write 2 x 768 B at 20 B/s.
    assert (step.bytes_read, step.bytes_written) == (153_600, 1_536)
    assert step.seconds == pytest.approx(153_600 / 500 + 1_536 / 20)
    assert step.tokens_per_s == pytest.approx(2 / step.seconds)
    assert step.cache_only
    assert step.weights_bytes is None


def test_an_append_that_reads_its_rows_is_timed_as_a_copy_of_them(small: Callable) -> None:
    layout = bind(small("gqa").layout, BF16)
    streams = [stream("append", "attention", "fresh", 1, 20.0)]
    request = Request(tokens=100, sequences=2)
    steps = [
        decode_step(layout, request, timed, CEILINGS, None, appends_read=True)
        for timed in (streams, [])
    ]
    for step, copied_per_s in zip(steps, (20.0, CEILINGS["copy"]), strict=True):
        # 2 x 768 B are written. At 20 B/s of bytes read and written, 10 B/s of them are.
        assert step.bytes_written == 1_536
        assert step.seconds == pytest.approx(153_600 / 1000 + 1_536 / (copied_per_s / 2))


def test_a_mixed_batch_is_the_sum_of_its_lengths(small: Callable) -> None:
    # 768 B per token: 2 x 10 and 1 x 100 tokens are 120 x 768 B read, and 3 x 768 B written.
    layout = bind(small("gqa").layout, BF16)
    request = Request(tokens=100, sequences=3, lengths=((2, 10), (1, 100)))
    step = decode_step(layout, request, [], CEILINGS, None)
    assert (step.bytes_read, step.bytes_written) == (92_160, 2_304)
    assert step.seconds == pytest.approx(92_160 / 1000 + 2_304 / 100)
    assert step.tokens_per_s == pytest.approx(3 / step.seconds)


def test_weights_are_read_once_at_the_ceiling(small: Callable) -> None:
    layout = bind(small("gqa").layout, BF16)
    bare = decode_step(layout, Request(tokens=10, sequences=3), [], CEILINGS, None)
    full = decode_step(layout, Request(tokens=10, sequences=3), [], CEILINGS, 5000)
    assert full.seconds == pytest.approx(bare.seconds + 5.0)
    assert full.bytes_read == bare.bytes_read
    assert full.weights_bytes == 5000
    assert not full.cache_only


def test_a_state_is_read_and_written_at_the_in_place_ceiling(small: Callable) -> None:
    # Mamba: 3 layers x (192 x 16 + 3 x 192) x 2 B = 21,888 B, both ways, at 50 B/s.
    layout = bind(small("ssm").layout, BF16)
    step = decode_step(layout, Request(tokens=7), [], CEILINGS, None)
    assert (step.bytes_read, step.bytes_written) == (21_888, 21_888)
    assert step.seconds == pytest.approx(2 * 21_888 / 50)


def test_capacity_by_hand(small: Callable) -> None:
    # 768 B per token: 1k tokens take 786,432 B, 128k take 100,663,296 B.
    paged = registry().engine("paged").what
    points = capacity(small("gqa"), paged, Request(tokens=0, cache_dtype="bfloat16"), 300_000_000)
    assert [(point.tokens, point.sequences) for point in points] == [
        (1024, 381),
        (4096, 95),
        (32_768, 11),
        (131_072, 2),
    ]


def test_the_balance_is_that_of_pools_divided_for_the_asked_context(small: Callable) -> None:
    paged = registry().engine("paged").what
    request = Request(tokens=1024, cache_dtype="bfloat16")
    points = pool_balance(small("hybrid"), paged, request, 300_000_000)
    assert [point.tokens for point in points[::2]] == [1024, 4096, 32_768, 131_072]
    # What grows is full first at any longer context, and states are idle then.
    assert all(point.fills_first == ("All",) for point in points[2:])
    assert points[-1].idle_bytes > points[2].idle_bytes > 0
    assert {point.sequences for point in points[1::2]} == {1}
    assert pool_balance(small("gqa"), paged, request, 300_000_000) == ()
