"""What is placed in a pool by default, on demand, and refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvprof.errors import DeviceError, UsageError
from kvprof.measure.block_tables import fresh_tables
from kvprof.measure.fit import fit
from kvprof.measure.pool import Pool
from kvprof.registry import registry
from kvprof.size import Request

REQUEST = Request(tokens=0, cache_dtype="bfloat16")


def paged() -> object:
    return registry().engine("paged").what


@pytest.mark.parametrize("name", ["gqa", "sliding", "hybrid", "ssm"])
def test_as_many_sequences_as_are_said_to_fit_really_do(
    pool: Pool, small: Callable, name: str
) -> None:
    _, plan, sequences = fit(small(name), paged(), pool, REQUEST, 100, None)
    most = int(plan.max_concurrency or 0)
    assert 1 <= sequences <= most
    assert len(fresh_tables(plan, [100] * most, 0).tokens) == most


def test_the_default_length_shrinks_with_the_pool(pool: Pool, small: Callable) -> None:
    # 3 layers x 2 KV heads x 32 x 2 (K, V) x 2 B = 768 B per token: 4k tokens take 3 MiB.
    _, plan, sequences = fit(small("gqa"), paged(), pool, REQUEST, None, None)
    assert plan.limits.max_model_len == 4096
    assert sequences == 6  # of 20 MiB less the alignment


def test_too_many_sequences_are_refused_with_how_many_would_fit(
    pool: Pool, small: Callable
) -> None:
    with pytest.raises(DeviceError, match=r"at most 6 sequences of 4k tokens fit") as refused:
        fit(small("gqa"), paged(), pool, REQUEST, 4096, 7)
    assert refused.value.exit_code == 3


def test_a_sequence_that_is_too_long_is_refused_with_how_long_could_be(
    pool: Pool, small: Callable
) -> None:
    # 20 MiB / 768 B = 27,306 tokens, in blocks of 16: 27,296.
    with pytest.raises(DeviceError, match=r"no sequence of 128k tokens fits; 27,296 tokens would"):
        fit(small("gqa"), paged(), pool, REQUEST, 131_072, None)


def test_an_engine_that_places_nothing_is_refused(pool: Pool, small: Callable) -> None:
    with pytest.raises(UsageError, match="logical"):
        fit(small("gqa"), registry().engine("logical").what, pool, REQUEST, 100, None)


def test_no_tokens_are_refused(pool: Pool, small: Callable) -> None:
    with pytest.raises(UsageError, match="--tokens is 0"):
        fit(small("gqa"), paged(), pool, REQUEST, 0, None)
