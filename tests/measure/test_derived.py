"""A decode step and the capacity, by hand from given bandwidths."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvprof.binding import Dtypes, bind
from kvprof.measure.derived import capacity, decode_step
from kvprof.measure.sampler import Paired
from kvprof.measure.streams import Job, Streamed
from kvprof.registry import registry
from kvprof.size import Request

BF16 = Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16")
CEILINGS = {"read": 1000.0, "write": 100.0, "copy": 1.0, "rmw": 50.0}


def stream(op: str, cache: str, order: str, tokens: int, bytes_per_s: float) -> Streamed:
    job = Job(op, cache, order, 1, tokens, 1, 1, "read", lambda: None, lambda: None)
    return Streamed(job, Paired((1.0,), (1.0, 1.0), int(bytes_per_s), bytes_per_s, 1.0, False))


def test_each_traffic_runs_at_its_own_streams_bandwidth(small: Callable) -> None:
    layout = bind(small("gqa").layout, BF16)
    streams = [
        stream("decode_read", "attention", "shuffled", 100, 1.0),
        stream("decode_read", "attention", "fresh", 100, 500.0),
        stream("append", "attention", "fresh", 100, 1.0),
        stream("append", "attention", "shuffled", 1, 1.0),
        stream("append", "attention", "fresh", 1, 20.0),
    ]
    step = decode_step(layout, Request(tokens=100), 2, streams, CEILINGS, None)
    # 768 B per token: two sequences read 2 x 76,800 B at 500 B/s and write 2 x 768 B at 20 B/s.
    assert (step.bytes_read, step.bytes_written) == (153_600, 1_536)
    assert step.seconds == pytest.approx(153_600 / 500 + 1_536 / 20)
    assert step.tokens_per_s == pytest.approx(2 / step.seconds)
    assert step.cache_only
    assert step.weights_bytes is None


def test_weights_are_read_once_at_the_ceiling(small: Callable) -> None:
    layout = bind(small("gqa").layout, BF16)
    bare = decode_step(layout, Request(tokens=10), 3, [], CEILINGS, None)
    full = decode_step(layout, Request(tokens=10), 3, [], CEILINGS, 5000)
    assert full.seconds == pytest.approx(bare.seconds + 5.0)
    assert full.bytes_read == bare.bytes_read
    assert full.weights_bytes == 5000
    assert not full.cache_only


def test_a_state_is_read_and_written_at_the_in_place_ceiling(small: Callable) -> None:
    # Mamba: 3 layers x (192 x 16 + 3 x 192) x 2 B = 21,888 B, both ways, at 50 B/s.
    layout = bind(small("ssm").layout, BF16)
    step = decode_step(layout, Request(tokens=7), 1, [], CEILINGS, None)
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
