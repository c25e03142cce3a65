"""Fill: pseudo-random bytes that depend on seed and address only."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kvprof import _core

WORD = 8


def splitmix64(seed: int, words: int) -> NDArray[np.uint64]:
    """Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014."""
    index = np.arange(1, words + 1, dtype=np.uint64)
    state = np.uint64(seed) + index * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@pytest.mark.parametrize(("begin", "end"), [(0, 1 << 20), (1, 6), (5, 8200), (64, 64), (9, 4096)])
def test_fill_is_splitmix64_of_seed_and_address(
    backend: _core.CpuBackend, memory: _core.Memory, begin: int, end: int
) -> None:
    backend.fill(memory, 0, memory.nbytes, 7)
    expected = np.frombuffer(memory, np.uint8).copy()
    seconds = backend.fill(memory, begin, end - begin, 99)
    expected[begin:end] = splitmix64(99, memory.nbytes // WORD).view(np.uint8)[begin:end]
    np.testing.assert_array_equal(np.frombuffer(memory, np.uint8), expected)
    assert seconds > 0


def test_filled_words_are_neither_zero_nor_repeated(
    backend: _core.CpuBackend, memory: _core.Memory
) -> None:
    backend.fill(memory, 0, memory.nbytes, 7)
    words = np.frombuffer(memory, np.uint64)
    assert np.all(words != 0)
    assert len(np.unique(words)) == len(words)
