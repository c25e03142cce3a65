"""The ceilings of every backend, in all their variants."""

from __future__ import annotations

import numpy as np
import pytest

from kvprof import _core

from .model import WORD, bytes_of, refill, words_sum


@pytest.mark.parametrize("kind", ["read", "write", "copy", "rmw"])
@pytest.mark.parametrize(("offset", "nbytes"), [(0, 1 << 20), (24, 70_008), (3, 520), (8, 0)])
def test_ceilings_do_what_they_say(
    backend: _core.Backend, memory: _core.Memory, kind: _core.Ceiling, offset: int, nbytes: int
) -> None:
    for variant in backend.ceiling_variants(kind):
        before = refill(backend, memory)
        result = backend.ceiling(memory, kind, variant, offset, nbytes)
        after = bytes_of(memory)
        old, new = before[offset : offset + nbytes], after[offset : offset + nbytes]
        if kind == "read":
            assert result.checksum == words_sum([old])
            np.testing.assert_array_equal(new, old)
        elif kind == "write":
            np.testing.assert_array_equal(new, np.resize(new[:WORD], nbytes))
            assert np.all(new != 0)
        elif kind == "copy":
            np.testing.assert_array_equal(new[: nbytes // 2], old[: nbytes // 2])
            np.testing.assert_array_equal(new[nbytes // 2 :], old[: nbytes // 2])
        else:
            added = new.view("<u8") - old.view("<u8")
            assert len(np.unique(added)) == min(nbytes, 1)
            assert np.all(added != 0)
            assert result.checksum == words_sum([new])
        assert result.nbytes == nbytes * (2 if kind == "rmw" else 1)
        after_outside = np.delete(after, np.s_[offset : offset + nbytes])
        np.testing.assert_array_equal(
            after_outside, np.delete(before, np.s_[offset : offset + nbytes])
        )


def test_an_odd_byte_is_not_copied(backend: _core.Backend, memory: _core.Memory) -> None:
    for variant in backend.ceiling_variants("copy"):
        before = refill(backend, memory)
        assert backend.ceiling(memory, "copy", variant, 0, 2001).nbytes == 2000
        before[1000:2000] = before[:1000]
        np.testing.assert_array_equal(bytes_of(memory), before)


@pytest.mark.parametrize(
    ("kind", "stream", "others"),
    [
        ("read", "decode_read", {"plain_loop"}),
        ("rmw", "state_update", set()),
        ("write", "zero", {"driver"}),
        ("copy", "block_copy", {"driver"}),
    ],
)
def test_the_ceilings_have_the_variants_of_the_streams(
    backend: _core.Backend, kind: _core.Ceiling, stream: _core.Stream, others: set[str]
) -> None:
    names, streamed = backend.ceiling_variants(kind), backend.variants(stream)
    assert names[: len(streamed)] == streamed
    assert set(names[len(streamed) :]) <= others
    assert len(set(names)) == len(names) > 0


def test_a_cpu_swaps_and_appends_as_it_copies(cpu_backend: _core.CpuBackend) -> None:
    assert cpu_backend.variants("swap") == cpu_backend.variants("block_copy")
    assert set(cpu_backend.variants("append")) < set(cpu_backend.variants("block_copy"))


def test_unknown_ceilings_and_odd_words_are_refused(
    backend: _core.Backend, memory: _core.Memory
) -> None:
    with pytest.raises(ValueError, match=r"ceiling must be one of .*: got 'triad'"):
        backend.ceiling_variants("triad")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="12 bytes are not whole"):
        backend.ceiling(memory, "rmw", backend.ceiling_variants("rmw")[0], 0, 12)
