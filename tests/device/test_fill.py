"""Fill: pseudo-random bytes that depend on seed and address only."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kvprof import _core

from .model import WORD, assert_same, bytes_of, refill


def splitmix64(seed: int, words: int) -> NDArray[np.uint64]:
    """Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014."""
    index = np.arange(1, words + 1, dtype=np.uint64)
    state = np.uint64(seed) + index * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@pytest.mark.parametrize(("begin", "end"), [(0, 1 << 20), (1, 6), (5, 8200), (64, 64), (9, 4096)])
def test_fill_is_splitmix64_of_seed_and_address(
    backend: _core.Backend, memory: _core.Memory, begin: int, end: int
) -> None:
    expected = refill(backend, memory)
    seconds = backend.fill(memory, begin, end - begin, 99)
    expected[begin:end] = splitmix64(99, memory.nbytes // WORD).view(np.uint8)[begin:end]
    assert_same(bytes_of(memory), expected)
    assert seconds > 0


def test_filled_words_are_neither_zero_nor_repeated(
    backend: _core.Backend, memory: _core.Memory
) -> None:
    words = refill(backend, memory).view(np.uint64)
    assert np.all(words != 0)
    assert len(np.unique(words)) == len(words)


# Nothing, less than a page for each thread, and some pages and a rest that no page divides.
@pytest.mark.parametrize(("begin", "end"), [(64, 64), (5, 8200), (3, 300_001)])
@pytest.mark.parametrize("parts", [1, 2, 7, 1000])
@pytest.mark.parametrize("finite", [False, True])
def test_the_parts_of_a_fill_are_the_whole_and_no_more(
    backend: _core.Backend,
    memory: _core.Memory,
    begin: int,
    end: int,
    parts: int,
    finite: bool,
) -> None:
    backend.fill(memory, 0, memory.nbytes, 7)
    backend.fill(memory, begin, end - begin, 99, finite=finite)
    whole = memory.read(0, memory.nbytes)
    before = refill(backend, memory)
    written = np.zeros(memory.nbytes, np.uint8)
    for part in range(parts):
        backend.fill(memory, begin, end - begin, 99, finite=finite, part=part, parts=parts)
        if parts <= 7:
            after = memory.read(0, memory.nbytes)
            written += after != before
            before = after
    assert_same(bytes_of(memory), whole)
    assert written.max() <= 1


def test_a_part_that_there_is_not_is_refused(backend: _core.Backend, memory: _core.Memory) -> None:
    for part, parts in ((-1, 2), (2, 2), (0, 0), (0, -1)):
        with pytest.raises(ValueError, match=f"part is {part} of {parts}"):
            backend.fill(memory, 0, 64, 1, part=part, parts=parts)


def test_a_finite_fill_holds_floats_of_every_width(
    backend: _core.Backend, memory: _core.Memory
) -> None:
    backend.fill(memory, 0, memory.nbytes, 7, finite=True)
    held = bytes_of(memory)
    halves = held.view(np.uint16)
    float16, float32 = held.view(np.float16), held.view(np.float32)
    bfloat16 = (halves.astype(np.uint32) << 16).view(np.float32)
    # The exponent of [0.5, 1) in bfloat16 and float32 is, with a bit of the mantissa, 1.75 or more
    # in float16.
    for values, least, most in ((float16, 1.75, 2), (bfloat16, 0.5, 1), (float32, 0.5, 1)):
        assert np.all(np.isfinite(values))
        assert np.all((np.abs(values) >= least) & (np.abs(values) < most))
        assert 0.4 < np.mean(values < 0) < 0.6
    # The bits that are left are those of the fill that is not finite.
    words = held.view(np.uint64)
    kept = np.uint64(0x807F807F807F807F)
    np.testing.assert_array_equal(words & kept, splitmix64(7, len(words)) & kept)
