"""Memory of every backend: reading, writing, ranges, release."""

import numpy as np
import pytest

from kvprof import _core

from .checks import random_bytes
from .model import Bytes, assert_same, bytes_of, refill

OUTSIDE = [
    (0, 4100),
    (4099, 1),
    (4098, 2),
    (-1, 1),
    (-8, 16),
    (8, -8),
    (2**62, 2**62),
    (2**63 - 1, 1),
]


@pytest.fixture(scope="module")
def odd(backend: _core.Backend, policy: str) -> _core.Memory:
    """A memory of 4099 bytes, whose last byte is on no border."""
    return backend.allocate(4099, policy)


def test_a_memory_knows_what_it_is(backend: _core.Backend, policy: str, odd: _core.Memory) -> None:
    assert (odd.nbytes, odd.policy) == (4099, policy)
    assert odd.on_host == (backend.facts.backend == "cpu")


@pytest.mark.parametrize(
    ("offset", "nbytes"), [(0, 4099), (0, 1), (4098, 1), (13, 4000), (7, 0), (4099, 0)]
)
def test_what_is_written_is_read_and_no_more_is_written(
    backend: _core.Backend, odd: _core.Memory, offset: int, nbytes: int
) -> None:
    expected = refill(backend, odd)
    data = random_bytes(nbytes, 3)
    odd.write(offset, data)
    expected[offset : offset + nbytes] = data
    assert_same(odd.read(0, 4099), expected)
    assert_same(odd.read(offset, nbytes), data)
    assert_same(bytes_of(odd), expected)


def test_what_is_read_is_a_copy(odd: _core.Memory) -> None:
    odd.write(0, bytes([1, 2, 3]))
    first = odd.read(0, 3)
    assert (first.dtype, first.shape, first.flags.writeable) == (np.dtype(np.uint8), (3,), True)
    odd.write(0, bytes([4, 5, 6]))
    second = odd.read(0, 3)
    second[:] = 0
    assert first.tolist() == [1, 2, 3]
    assert odd.read(0, 3).tolist() == [4, 5, 6]


def test_anything_contiguous_can_be_written(backend: _core.Backend, odd: _core.Memory) -> None:
    words = np.array([[0x0102, 0x0304], [0x0506, 0x0708]], ">u2")
    other = backend.allocate_host(8)
    other.write(0, words)
    for data in (words, words.tobytes(), bytearray(words.tobytes()), memoryview(words), other):
        odd.write(16, bytes(8))
        odd.write(16, data)
        assert odd.read(16, 8).tolist() == list(range(1, 9))


def test_what_has_gaps_is_not_written(backend: _core.Backend, odd: _core.Memory) -> None:
    before = refill(backend, odd)
    with pytest.raises(ValueError, match="contiguous"):
        odd.write(0, np.ones((4, 2), np.uint8)[:, 0])
    with pytest.raises(TypeError):
        odd.write(0, "text")  # type: ignore[arg-type]
    assert_same(bytes_of(odd), before)


@pytest.mark.parametrize(("offset", "nbytes"), OUTSIDE)
def test_what_does_not_lie_in_it_is_not_read(odd: _core.Memory, offset: int, nbytes: int) -> None:
    message = f"{nbytes} bytes from byte {offset} do not all lie in a memory of 4099"
    with pytest.raises(IndexError, match=message):
        odd.read(offset, nbytes)


@pytest.mark.parametrize(("offset", "nbytes"), [case for case in OUTSIDE if 0 <= case[1] < 2**20])
def test_what_does_not_lie_in_it_is_not_written(
    backend: _core.Backend, odd: _core.Memory, offset: int, nbytes: int
) -> None:
    before = refill(backend, odd)
    message = f"{nbytes} bytes from byte {offset} do not all lie in a memory of 4099"
    with pytest.raises(IndexError, match=message):
        odd.write(offset, np.ones(nbytes, np.uint8))
    assert_same(bytes_of(odd), before)
    assert odd.guards_intact()


def test_released_memory_is_refused(backend: _core.Backend, policy: str) -> None:
    memory = backend.allocate(4096, policy)
    memory.release()
    memory.release()
    for use in (
        lambda: backend.fill(memory, 0, 8, 1),
        lambda: memory.nbytes,
        lambda: memory.policy,
        lambda: memory.on_host,
        lambda: memory.read(0, 1),
        lambda: memory.write(0, b"1"),
        lambda: memory.lock(1),
        memory.guards_intact,
        memory.__dlpack__,
        memory.__dlpack_device__,
    ):
        with pytest.raises(ValueError, match="released"):
            use()
    with pytest.raises(BufferError, match="released"):
        memoryview(memory)


def test_two_memories_share_no_bytes(backend: _core.Backend, policy: str) -> None:
    memories = [backend.allocate(4099, policy) for _ in range(4)]
    held: list[Bytes] = []
    for seed, memory in enumerate(memories):
        held.append(refill(backend, memory, seed))
    for memory, expected in zip(memories, held, strict=True):
        assert_same(bytes_of(memory), expected)
        assert memory.guards_intact()
