"""Inverse questions: answers worked out by hand, and the evidence against brute force."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kvprof.answer import BlockSizeRow, FitRow, SequencesOf
from kvprof.block_size import BLOCK_SIZES, least_waste
from kvprof.case import Case, Solution
from kvprof.config import ModelConfig
from kvprof.errors import UsageError
from kvprof.layers import layer, state_cache
from kvprof.layout import All, Cache, CacheLayout, Chunk, Clock, Field, Keep, Last, Tail
from kvprof.model import Model, catalogue_model
from kvprof.paging import paged_plan
from kvprof.plan import AllocationPlan, Limits
from kvprof.registry import registry
from kvprof.search import first_true, last_true
from kvprof.size import Request
from kvprof.solve import least_memory, longest_context, most_sequences
from kvprof.units import MAX_BYTES, MAX_TOKENS, parse_lengths

GIB = 2**30
ONE_TOKEN = Request(tokens=1)


def case(name: str, engine: str = "paged", **request: int) -> Case:
    wanted = replace(ONE_TOKEN, **request)
    return Case(catalogue_model(name), registry().engine(engine).what, wanted)


def fits(solution: Solution) -> list[bool]:
    return [row.fits for row in solution.evidence if isinstance(row, FitRow)]


# ---------------------------------------------------------------- the search


@given(st.integers(-50, 50), st.integers(0, 300), st.integers(-60, 400))
def test_the_search_finds_where_a_predicate_turns(first: int, span: int, turn: int) -> None:
    last = first + span
    true = [number for number in range(first, last + 1) if number <= turn]
    assert last_true(lambda number: number <= turn, first, last) == max(true, default=None)
    false = [number for number in range(first, last + 1) if number > turn]
    assert first_true(lambda number: number > turn, first, last) == min(false, default=None)


def test_the_search_asks_only_within_its_bounds() -> None:
    asked: list[int] = []

    def holds(number: int) -> bool:
        asked.append(number)
        return True

    assert last_true(holds, 1, MAX_TOKENS) == MAX_TOKENS
    assert (min(asked), max(asked)) == (1, MAX_TOKENS)
    assert len(asked) < 100


# ---------------------------------------------------------------- the longest context


def test_the_longest_context_of_llama() -> None:
    # Llama 3 8B: 32 layers x 2 x 8 heads x 128 x 2 B = 131,072 B a token; blocks of 16 are 2 MiB.
    # 1 GiB holds 512 blocks, 8,192 tokens; one MiB more holds 8 tokens but no block.
    more = GIB + 2**20
    assert longest_context(case("llama-3-8b"), 1, GIB).answer == 8192
    assert longest_context(case("llama-3-8b"), 1, more).answer == 8192
    assert longest_context(case("llama-3-8b", "logical"), 1, more).answer == 8200
    # Blocks of 1,000 tokens are 131,072,000 B: eight of them.
    assert longest_context(case("llama-3-8b", block_size=1000), 1, GIB).answer == 8000
    # Three sequences share 512 blocks: 170 each, 2,720 tokens.
    solution = longest_context(case("llama-3-8b"), 3, GIB)
    assert solution.answer == 2720
    assert solution.evidence == (
        FitRow(2719, 3, GIB, 3 * 170 * 2**21, fits=True),
        FitRow(2720, 3, GIB, 3 * 170 * 2**21, fits=True),
        FitRow(2721, 3, GIB, 3 * 171 * 2**21, fits=False),
    )
    assert (solution.unbounded, solution.note) == (False, None)


def test_the_longest_context_with_windows() -> None:
    # Gemma 3 27B: an entry is 8,192 B a layer; 10 layers grow, 52 keep 1,024 entries.
    # logical: (2**30 - 52 x 1,024 x 8,192) // 81,920 = 637,534,208 // 81,920 = 7,782.4
    assert longest_context(case("gemma-3-27b", "logical"), 1, GIB).answer == 7782
    # paged: a window of 1,024 slides into a 65th block of 16 x 8,192 x 52 B = 6,815,744:
    # (2**30 - 65 x 6,815,744) // 1,310,720 = 630,718,464 // 1,310,720 = 481 blocks, 7,696 tokens.
    assert longest_context(case("gemma-3-27b"), 1, GIB).answer == 7696


def test_the_longest_context_of_a_hybrid() -> None:
    # Jamba 1.5 Mini: 16,384 B a token in 4 layers, 8,716,288 B of state in 28. A tenth of 1 GiB is
    # 107,374,182 B: less the state 98,657,894, 376 blocks of 262,144 B, 6,016 tokens.
    solution = longest_context(case("jamba-1.5-mini"), 10, GIB)
    assert solution.answer == 6016
    assert solution.evidence[1] == FitRow(6016, 10, GIB, 10 * (376 * 262_144 + 8_716_288), True)
    assert fits(solution) == [True, True, False]


# 48 layers x 8 heads x 128 x 2 x 2 B: an entry is 4,096 B; 36 layers keep a chunk of 8,192, 12 all.
# On the way to 8,193 tokens they hold 8,192 entries of the chunk, although only 1 at the end.
SCOUT_8192 = 8192 * 4096 * 48
SCOUT_8193 = 8192 * 4096 * 36 + 8193 * 4096 * 12


def test_a_chunk_is_longest_just_before_it_is_dropped() -> None:
    scout = case("llama-4-scout", "logical")
    assert least_memory(scout, 8193, 1).answer == SCOUT_8193 == 1_610_661_888
    assert longest_context(scout, 1, SCOUT_8193).answer == 8193
    assert longest_context(scout, 1, SCOUT_8193 - 1).answer == 8192
    assert longest_context(scout, 1, SCOUT_8192).answer == 8192
    # In blocks of 16: 512 of the chunk, 513 of the rest.
    paged = (512 * 36 + 513 * 12) * 16 * 4096
    assert least_memory(case("llama-4-scout"), 8193, 2).answer == 2 * paged


@pytest.mark.parametrize("engine", ["logical", "paged"])
def test_states_only_have_no_longest_context(engine: str) -> None:
    # Mamba 2.8B: 64 layers x 5,120 channels x (16 + 3) x 2 B
    solution = longest_context(case("mamba-2.8b", engine), 2, 2 * 12_451_840)
    assert (solution.answer, solution.unbounded) == (None, True)
    assert solution.evidence == (
        FitRow(1, 2, 2 * 12_451_840, 2 * 12_451_840, fits=True),
        FitRow(MAX_TOKENS, 2, 2 * 12_451_840, 2 * 12_451_840, fits=True),
    )
    assert solution.note is not None
    assert "states only" in solution.note
    too_small = longest_context(case("mamba-2.8b", engine), 2, 2 * 12_451_840 - 1)
    assert (too_small.answer, too_small.unbounded, fits(too_small)) == (0, False, [False])
    assert too_small.note is not None
    assert too_small.note.startswith("nothing fits: 2 sequences of 1 token need 23.8 MiB")


def test_windows_only_have_no_longest_context() -> None:
    # Mistral 7B v0.1: 32 layers x 4,096 B, all with a window of 4,096; in blocks of 16 a sequence
    # holds 257 of them from 4,097 tokens on.
    solution = longest_context(case("mistral-7b-v0.1"), 1, GIB)
    assert (solution.answer, solution.unbounded) == (None, True)
    assert solution.evidence[0] == FitRow(4097, 1, GIB, 257 * 16 * 131_072, fits=True)
    assert solution.note is not None
    assert "no cache that grows" in solution.note
    assert "made for 32,768 tokens" in solution.note
    bounded = longest_context(case("mistral-7b-v0.1"), 1, 257 * 16 * 131_072 - 1)
    assert (bounded.answer, bounded.unbounded) == (4096, False)


def test_a_search_that_ends_at_its_bound_says_so() -> None:
    # 2**60 B hold 2**43 tokens of 131,072 B.
    solution = longest_context(case("llama-3-8b"), 1, MAX_BYTES)
    assert (solution.answer, solution.unbounded) == (MAX_TOKENS, False)
    assert fits(solution) == [True, True]
    assert solution.note is not None
    assert "the search ends there" in solution.note


def test_a_length_that_the_model_is_not_made_for_is_noted() -> None:
    # GPT-2: 36,864 B a token, 589,824 B a block: 1,820 blocks in 1 GiB.
    solution = longest_context(case("gpt2"), 1, GIB)
    assert solution.answer == 29_120
    assert solution.note == "29,120 tokens are more than the 1,024 that the model is made for"
    assert least_memory(case("gpt2"), 1024, 1).note is None
    assert least_memory(case("gpt2"), 1025, 1).note is not None


# ---------------------------------------------------------------- the most sequences


def test_the_most_sequences() -> None:
    # Llama 3 8B: 4,096 tokens are 512 MiB.
    solution = most_sequences(case("llama-3-8b"), 4096, 16 * GIB)
    assert solution.answer == 32
    assert [row.sequences for row in solution.evidence if isinstance(row, FitRow)] == [31, 32, 33]
    assert fits(solution) == [True, True, False]
    assert most_sequences(case("llama-3-8b", "logical"), 4096, 16 * GIB - 1).answer == 31
    # Jamba: 256 x 262,144 + 8,716,288 = 75,825,152 B; 2**30 holds 14.16 of it.
    assert most_sequences(case("jamba-1.5-mini"), 4096, GIB).answer == 14
    # Mamba: 2**30 // 12,451,840, whatever the length
    assert most_sequences(case("mamba-2.8b"), 2**30, GIB).answer == 86


def test_no_sequence_fits() -> None:
    solution = most_sequences(case("llama-3-8b"), 4096, 2**29 - 1)
    assert (solution.answer, solution.unbounded, fits(solution)) == (0, False, [False])
    assert solution.note is not None
    assert "nothing fits: 1 sequence of 4,096 tokens needs 512 MiB" in solution.note


def test_any_number_of_sequences_that_keep_nothing() -> None:
    # One entry for every 128 tokens: a sequence of 100 has none.
    compressed = Cache("c", (Field("c", (("d", 8),), "bfloat16"),), entry_tokens=128)
    sparse = of_caches(compressed)
    assert most_sequences(sparse, 100, 1).unbounded
    assert least_memory(sparse, 100, 7).answer == 0
    assert most_sequences(sparse, 128, 64).answer == 4


# ---------------------------------------------------------------- the least memory


@pytest.mark.parametrize(
    ("name", "engine", "tokens", "sequences", "needed"),
    [
        ("llama-3-8b", "logical", 1000, 3, 3 * 1000 * 131_072),
        ("llama-3-8b", "paged", 1000, 3, 3 * 63 * 2**21),  # 63 blocks of 16
        ("gemma-3-27b", "logical", 4096, 1, 771_751_936),  # as docs/design.md works out
        ("gemma-3-27b", "paged", 4096, 1, 256 * 1_310_720 + 65 * 6_815_744),
        ("jamba-1.5-mini", "paged", 4096, 2, 2 * 75_825_152),
        ("mamba-2.8b", "paged", 10**6, 5, 5 * 12_451_840),
    ],
)
def test_the_least_memory(name: str, engine: str, tokens: int, sequences: int, needed: int) -> None:
    solution = least_memory(case(name, engine), tokens, sequences)
    assert solution.answer == needed
    assert solution.evidence == tuple(
        FitRow(tokens, sequences, needed + step, needed, fits=step >= 0) for step in (-1, 0, 1)
    )


def test_no_memory_is_enough() -> None:
    # 2**40 tokens x 2**17 B = 2**57 B; 2**60 holds eight such sequences.
    assert least_memory(case("llama-3-8b"), MAX_TOKENS, 8).answer == MAX_BYTES
    solution = least_memory(case("llama-3-8b"), MAX_TOKENS, 9)
    assert (solution.answer, solution.unbounded, fits(solution)) == (None, False, [False])
    assert solution.note is not None
    assert "2^60 bytes" in solution.note


# ---------------------------------------------------------------- the block size


def lengths(text: str) -> tuple[SequencesOf, ...]:
    return tuple(SequencesOf(*each) for each in parse_lengths(text))


def test_the_block_size_with_the_least_waste() -> None:
    # Llama 3 8B, 3 x 1,000 and 1 x 17 tokens. Of 16: 63 and 2 blocks, 3 x 8 + 15 slots left.
    # Of 32: 32 and 1 blocks, 3 x 24 + 15. Of 256: 4 and 1 blocks, 3 x 24 + 239.
    solution = least_waste(case("llama-3-8b"), lengths("3x1000,1x17"), BLOCK_SIZES)
    assert (solution.answer, solution.note) == (16, None)
    rows = {row.block_size: row for row in solution.evidence if isinstance(row, BlockSizeRow)}
    assert list(rows) == [16, 32, 64, 128, 256]
    for size, left, blocks in ((16, 39, 191), (32, 87, 97), (256, 311, 13)):
        row = rows[size]
        assert row.logical_bytes == 3017 * 131_072
        assert row.waste["tail"] == left * 131_072 == sum(row.waste.values())
        assert row.reserved_bytes == row.logical_bytes + row.waste["tail"]
        assert row.wasted_ratio == pytest.approx(left / (3017 + left))
        assert [(group.keep, group.page_bytes, group.blocks) for group in row.groups] == [
            ("All", size * 4096, blocks)
        ]


def test_of_equal_block_sizes_the_largest() -> None:
    # 1,000 tokens reserve 1,024 in blocks of 32, 64, 128 and 256.
    solution = least_waste(case("llama-3-8b"), lengths("5x1000"), (64, 256, 32))
    assert solution.answer == 256
    assert solution.note is not None
    assert solution.note.startswith("blocks of 32, 64 and 256 tokens waste the same")


def test_states_have_no_block_size() -> None:
    solution = least_waste(case("mamba-2.8b"), lengths("5x1000"), BLOCK_SIZES)
    assert (solution.answer, solution.evidence, solution.unbounded) == (None, (), False)
    # Those of a hybrid are no table of blocks, but are reserved all the same.
    hybrid = least_waste(case("jamba-1.5-mini"), lengths("1x16"), (16,))
    (row,) = hybrid.evidence
    assert isinstance(row, BlockSizeRow)
    assert row.reserved_bytes == 16 * 16_384 + 8_716_288
    assert [group.keep for group in row.groups] == ["All"]


class Blocks128:
    """An engine that takes no block size."""

    name = "blocks128"
    summary = "blocks of 128 tokens, whatever was asked for"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        return layout

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan:
        return paged_plan(layout, limits, block_size=128)


@pytest.mark.parametrize("sizes", [(64,), (128,), BLOCK_SIZES])
def test_an_engine_that_takes_no_block_size_is_refused(sizes: tuple[int, ...]) -> None:
    stubborn = Case(catalogue_model("llama-3-8b"), Blocks128(), ONE_TOKEN)
    with pytest.raises(
        UsageError, match=r"'blocks128' places .* in blocks of 128 tokens, whatever"
    ):
        least_waste(stubborn, lengths("1x1000"), sizes)
    # Other questions are answered: 2**30 holds 64 blocks of 128 x 131,072 B.
    assert longest_context(stubborn, 1, GIB + 2**20).answer == 8192


def test_an_engine_without_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="'logical' places nothing in blocks"):
        least_waste(case("llama-3-8b", "logical"), lengths("1x1000"), BLOCK_SIZES)


class NullBlock:
    """One pool for all, of which a block is held back: no multiple of a sequence's bytes."""

    name = "null-block"
    summary = "one block of the pool is never used"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        return layout

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan:
        plan = paged_plan(layout, replace(limits, memory_bytes=None), 16)
        if limits.memory_bytes is None:
            return plan
        (group,) = plan.groups
        blocks = max(0, limits.memory_bytes // group.bytes_per_block - 1)
        return replace(plan, groups=(replace(group, num_blocks=blocks),), limits=limits)


def test_an_engine_s_own_pool_decides_and_no_formula() -> None:
    # 512 blocks of 2 MiB, one held back.
    stubborn = Case(catalogue_model("llama-3-8b"), NullBlock(), ONE_TOKEN)
    assert longest_context(stubborn, 1, GIB).answer == 511 * 16
    assert most_sequences(stubborn, 16, GIB).answer == 511
    assert least_memory(stubborn, 16, 511).answer == GIB


# ---------------------------------------------------------------- brute force

KEEPS: st.SearchStrategy[Keep] = st.one_of(
    st.just(All()),
    st.builds(Last, st.integers(1, 40)),
    st.builds(Chunk, st.integers(1, 40)),
    st.builds(Tail, st.integers(2, 40)),
)


def of_caches(*caches: Cache, engine: str = "paged", block_size: int = 1) -> Case:
    layout = CacheLayout(tuple(layer(index, cache) for index, cache in enumerate(caches)))
    config = ModelConfig("mine", "mine", None, {}, "bfloat16")
    model = Model(config, layout, "mine", "mine", inferred=False)
    return Case(model, registry().engine(engine).what, replace(ONE_TOKEN, block_size=block_size))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    keeps = draw(st.lists(KEEPS, min_size=1, max_size=3))
    caches = [
        Cache(f"c{index}", (Field("x", (("d", 2 + index),), "int8"),), keep)
        for index, keep in enumerate(keeps)
    ]
    if draw(st.booleans()):
        caches.append(state_cache("state", Field("s", (("d", 50),), "int8")))
    engine = draw(st.sampled_from(["logical", "paged"]))
    return of_caches(*caches, engine=engine, block_size=draw(st.integers(1, 24)))


@settings(max_examples=100)
@given(cases(), st.integers(1, 5), st.integers(1, 8000))
def test_the_longest_context_by_brute_force(asked: Case, sequences: int, memory: int) -> None:
    solution = longest_context(asked, sequences, memory)
    fitting = [t for t in range(1, 130) if asked.fit(t, sequences, memory).fits]
    assert fitting == list(range(1, len(fitting) + 1)), "what fits at a length fits at less"
    if solution.unbounded or (solution.answer or 0) >= 129:
        assert len(fitting) == 129
    else:
        assert solution.answer == len(fitting)
        assert fits(solution)[-1] is False


@settings(max_examples=100)
@given(cases(), st.integers(1, 100), st.integers(1, 4), st.integers(0, 40))
def test_the_least_memory_and_the_most_sequences_by_brute_force(
    asked: Case, tokens: int, sequences: int, slack: int
) -> None:
    memory = least_memory(asked, tokens, sequences).answer
    assert memory is not None
    assert asked.fit(tokens, sequences, memory).fits
    assert memory == 0 or not asked.fit(tokens, sequences, memory - 1).fits
    for too_little in range(max(0, memory - slack), memory):
        assert not asked.fit(tokens, sequences, too_little).fits
    if memory:
        assert most_sequences(asked, tokens, memory).answer == sequences
        assert most_sequences(asked, tokens, memory - 1).answer == sequences - 1


@settings(max_examples=60)
@given(cases(), st.lists(st.tuples(st.integers(1, 5), st.integers(1, 99)), min_size=1, max_size=4))
def test_the_block_size_by_brute_force(asked: Case, batch: list[tuple[int, int]]) -> None:
    paged = Case(asked.model, registry().engine("paged").what, asked.request)
    workload = [SequencesOf(*each) for each in batch]
    solution = least_waste(paged, workload, range(1, 20))
    if solution.answer is None:
        return
    wasted: dict[int, Fraction] = {}
    for row in solution.evidence:
        assert isinstance(row, BlockSizeRow)
        assert row.reserved_bytes == row.logical_bytes + sum(row.waste.values())
        wasted[row.block_size] = Fraction(row.reserved_bytes - row.logical_bytes)
    least = min(wasted.values())
    assert wasted[solution.answer] == least
    assert all(size <= solution.answer for size in wasted if wasted[size] == least)


def test_an_encoder_is_counted_and_no_context_bounds_it() -> None:
    cache = Cache("cross", (Field("x", (("d", 32),), "int8"),), clock=Clock.ENCODER)
    asked = of_caches(cache, engine="logical")
    with_encoder = Case(asked.model, asked.engine, replace(asked.request, encoder_tokens=100))
    assert longest_context(with_encoder, 1, 3200).unbounded
    assert longest_context(with_encoder, 1, 3199).answer == 0
