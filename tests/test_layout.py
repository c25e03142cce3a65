"""Retention: which entries a cache holds, against keeping and dropping them one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.layout import (
    All,
    Cache,
    Chunk,
    Clock,
    Field,
    Keep,
    Last,
    Once,
    Tail,
    entries,
    held,
    most_entries,
)
from kvprof.testing import count_entries

FIELD = Field("k", (("head_dim", 4),))

SIZED = st.one_of(
    st.builds(Last, st.integers(1, 40)),
    st.builds(Chunk, st.integers(1, 40)),
    st.builds(Tail, st.integers(1, 40)),
)


def cache_of(keep: Keep, clock: Clock = Clock.DECODER, entry_tokens: int = 1) -> Cache:
    return Cache("c", (FIELD,), keep, clock, entry_tokens)


CACHES = st.one_of(
    st.builds(
        cache_of,
        st.one_of(st.just(All()), SIZED),
        st.sampled_from([Clock.DECODER, Clock.ENCODER]),
        st.integers(1, 9),
    ),
    st.just(cache_of(Once(), Clock.SEQUENCE)),
)


def kept_one_by_one(cache: Cache, tokens: int, encoder_tokens: int) -> list[int]:
    """The entries a sequence holds, found by asking of each entry made whether it is still wanted.

    Tokens come one at a time; every ``entry_tokens``-th completes an entry.
    """
    ticks = encoder_tokens if cache.clock is Clock.ENCODER else tokens
    if isinstance(cache.keep, Once):
        return [0] if tokens else []
    made = [t for t in range(1, ticks + 1) if t % cache.entry_tokens == 0]
    newest = len(made) - 1
    keep = cache.keep
    if isinstance(keep, All):
        return list(range(len(made)))
    if isinstance(keep, Last):  # as the mask counts: the newest included, n in all
        return [e for e in range(len(made)) if newest - e < keep.n]
    if isinstance(keep, Chunk):  # those of the newest entry's chunk
        return [e for e in range(len(made)) if e // keep.n == newest // keep.n]
    # those that the next entry still belongs with: a whole group is folded away at once
    return [e for e in range(len(made)) if e // keep.n == (newest + 1) // keep.n]


@given(CACHES, st.integers(0, 300), st.integers(0, 300))
def test_held_entries_are_those_kept_one_by_one(
    cache: Cache, tokens: int, encoder_tokens: int
) -> None:
    expected = kept_one_by_one(cache, tokens, encoder_tokens)
    assert list(held(cache, tokens, encoder_tokens)) == expected
    assert entries(cache, tokens, encoder_tokens) == len(expected)
    assert count_entries(cache, tokens, encoder_tokens) == len(expected)


@given(CACHES, st.integers(0, 200))
def test_time_never_runs_back(cache: Cache, tokens: int) -> None:
    """What was dropped does not return, and one token completes at most one entry."""
    before, after = held(cache, tokens, tokens), held(cache, tokens + 1, tokens + 1)
    if before and after:
        assert after.start >= before.start
    assert after.stop - before.stop in (0, 1)


@given(SIZED)
def test_the_most_that_a_bounded_cache_holds_is_reached_and_never_passed(keep: Keep) -> None:
    counts = [entries(cache_of(keep), tokens) for tokens in range(100)]
    assert max(counts) == most_entries(keep)


def test_a_cache_that_keeps_all_has_no_most() -> None:
    assert most_entries(All()) is None


@pytest.mark.parametrize(
    ("keep", "tokens", "expected"),
    [
        (Chunk(8192), 8192, 8192),
        (Chunk(8192), 8193, 1),  # Llama 4 Scout: a new chunk has begun
        (Chunk(8192), 0, 0),
        (Last(1024), 1023, 1023),
        (Last(1024), 1024, 1024),
        (Last(1024), 4096, 1024),  # the newest token is one of the 1,024
        (Tail(128), 1000, 104),  # 1000 = 7 * 128 + 104
        (Tail(128), 1024, 0),
        (Tail(128), 127, 127),
    ],
)
def test_worked_examples(keep: Keep, tokens: int, expected: int) -> None:
    assert entries(cache_of(keep), tokens) == expected


def test_one_entry_per_128_tokens() -> None:
    compressed = cache_of(All(), entry_tokens=128)
    assert entries(compressed, 1000) == 7
    assert entries(compressed, 127) == 0
    assert entries(compressed, 128) == 1


def test_a_state_is_there_from_the_first_token() -> None:
    state = cache_of(Once(), Clock.SEQUENCE)
    assert [entries(state, tokens) for tokens in (0, 1, 2, 10**9)] == [0, 1, 1, 1]


def test_an_encoder_clock_counts_encoder_positions() -> None:
    cross = cache_of(All(), Clock.ENCODER)
    assert entries(cross, 1000, 12) == 12
    assert entries(cross, 0, 12) == 12
    assert entries(cache_of(All()), 1000, 12) == 1000


def test_a_long_context_is_counted_and_not_listed() -> None:
    assert entries(cache_of(Last(4096)), 2**40) == 4096
    assert held(cache_of(Chunk(8192)), 2**40 + 1).start == 2**40
