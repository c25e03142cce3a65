"""The contract of every backend, against a NumPy model of the same memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvprof import _core

Bytes = NDArray[np.uint8]
WORD = 8


@dataclass(frozen=True)
class Pages:
    """A cache whose pages do not overlap: layer after layer of blocks, with gaps."""

    base_bytes: int
    layers: int
    blocks: int
    rows_per_block: int
    row_bytes: tuple[int, ...]
    gap_bytes: int

    @property
    def offsets(self) -> list[int]:
        sizes = [self.rows_per_block * row + self.gap_bytes for row in self.row_bytes]
        return [sum(sizes[:i]) for i in range(len(sizes) + 1)]

    @property
    def placement(self) -> dict[str, Any]:
        block_stride = self.offsets[-1]
        return {
            "base_bytes": self.base_bytes,
            "layer_stride_bytes": self.blocks * block_stride + self.gap_bytes,
            "block_stride_bytes": block_stride,
            "layers": self.layers,
            "segments": list(zip(self.offsets, self.row_bytes, strict=False)),
        }

    def address(self, layer: int, block: int, segment: int, row: int) -> int:
        place = self.placement
        start = layer * place["layer_stride_bytes"] + block * place["block_stride_bytes"]
        return self.base_bytes + start + self.offsets[segment] + row * self.row_bytes[segment]

    def pieces(self, runs: NDArray[np.uint32]) -> list[slice]:
        """Bytes of every run of every segment and layer."""
        found = []
        for layer in range(self.layers):
            for block, first, rows in runs.tolist():
                for segment, row_bytes in enumerate(self.row_bytes):
                    start = self.address(layer, block, segment, first)
                    found.append(slice(start, start + rows * row_bytes))
        return found


def pages(row_bytes: st.SearchStrategy[int]) -> st.SearchStrategy[Pages]:
    return st.builds(
        Pages,
        base_bytes=st.integers(0, 70),
        layers=st.integers(1, 3),
        blocks=st.integers(1, 20),
        rows_per_block=st.integers(1, 9),
        row_bytes=st.lists(row_bytes, min_size=1, max_size=3).map(tuple),
        gap_bytes=st.sampled_from([0, 1, 8, 64]),
    )


ANY_ROW = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 128, 256, 320, 576]))


@st.composite
def pages_and_runs(draw: st.DrawFn) -> tuple[Pages, NDArray[np.uint32]]:
    cache = draw(pages(ANY_ROW))
    runs = []
    for _ in range(draw(st.integers(0, 40))):
        first = draw(st.integers(0, cache.rows_per_block - 1))
        rows = draw(st.integers(0, cache.rows_per_block - first))
        runs.append((draw(st.integers(0, cache.blocks - 1)), first, rows))
    return cache, np.array(runs, np.uint32).reshape(-1, 3)


def words_sum(pieces: list[Bytes]) -> int:
    """Sum of little-endian words, each piece extended with zeros to whole words."""
    total = 0
    for piece in pieces:
        padded = np.zeros(-(-len(piece) // WORD) * WORD, np.uint8)
        padded[: len(piece)] = piece
        total += int(padded.view("<u8").sum(dtype=np.uint64))
    return total % 2**64


def refill(backend: _core.CpuBackend, memory: _core.Memory) -> Bytes:
    backend.fill(memory, 0, memory.nbytes, 7)
    return np.frombuffer(memory, np.uint8)


@settings(max_examples=60, deadline=None)
@given(case=pages_and_runs())
def test_decode_read_sums_every_run(
    backend: _core.CpuBackend, memory: _core.Memory, case: tuple[Pages, NDArray[np.uint32]]
) -> None:
    cache, runs = case
    view = refill(backend, memory)
    plan = _core.PagePlan(**cache.placement, runs=runs)
    result = backend.decode_read(memory, plan)
    pieces = [view[piece] for piece in cache.pieces(runs)]
    assert result.checksum == words_sum(pieces)
    assert result.nbytes == plan.nbytes == sum(len(piece) for piece in pieces)
    assert result.seconds > 0


@settings(max_examples=60, deadline=None)
@given(cache=pages(ANY_ROW), source_rows=st.integers(1, 5), data=st.data())
def test_append_writes_the_rows_of_its_slots_and_nothing_else(
    backend: _core.CpuBackend,
    memory: _core.Memory,
    cache: Pages,
    source_rows: int,
    data: st.DataObject,
) -> None:
    last_slot = cache.blocks * cache.rows_per_block - 1
    slots = np.array(data.draw(st.lists(st.integers(-1, last_slot), max_size=60)), np.int64)
    rng = np.random.default_rng(3)
    source = rng.integers(0, 256, (source_rows, sum(cache.row_bytes)), np.uint8)
    expected = refill(backend, memory).copy()
    plan = _core.SlotPlan(**cache.placement, rows_per_block=cache.rows_per_block, slots=slots)
    result = backend.append(memory, plan, source)
    for token, slot in enumerate(slots.tolist()):
        for layer in range(cache.layers if slot >= 0 else 0):
            column = 0
            for segment, row_bytes in enumerate(cache.row_bytes):
                block, row = divmod(slot, cache.rows_per_block)
                start = cache.address(layer, block, segment, row)
                written = source[token % source_rows, column : column + row_bytes]
                expected[start : start + row_bytes] = written
                column += row_bytes
    np.testing.assert_array_equal(np.frombuffer(memory, np.uint8), expected)
    written_slots = {slot for slot in slots.tolist() if slot >= 0}
    assert result.nbytes == len(written_slots) * sum(cache.row_bytes) * cache.layers


@settings(max_examples=60, deadline=None)
@given(cache=pages(ANY_ROW), addend=st.integers(0, 2**64 - 1), data=st.data())
def test_state_update_adds_to_the_words_of_its_plan_and_to_no_other(
    backend: _core.CpuBackend,
    memory: _core.Memory,
    cache: Pages,
    addend: int,
    data: st.DataObject,
) -> None:
    blocks = data.draw(st.lists(st.integers(0, cache.blocks - 1), unique=True))
    first = data.draw(st.integers(0, cache.rows_per_block - 1))
    rows = cache.rows_per_block - first
    runs = np.array([(block, first, rows) for block in blocks], np.uint32).reshape(-1, 3)
    expected = refill(backend, memory).copy()
    plan = _core.PagePlan(**cache.placement, runs=runs)
    result = backend.state_update(memory, plan, addend=addend)
    pieces = cache.pieces(runs)
    for piece in pieces:
        whole = slice(piece.start, piece.stop - (piece.stop - piece.start) % WORD)
        words = expected[whole].view("<u8") + np.uint64(addend)
        expected[whole] = words.view(np.uint8)
        tail = expected[whole.stop : piece.stop]
        value = int.from_bytes(tail.tobytes(), "little") + addend
        tail[:] = list((value % 256 ** len(tail)).to_bytes(len(tail), "little"))
    np.testing.assert_array_equal(np.frombuffer(memory, np.uint8), expected)
    assert result.checksum == words_sum([expected[piece] for piece in pieces])
    assert result.nbytes == 2 * plan.nbytes


def test_one_long_run_is_read_whole(backend: _core.CpuBackend, memory: _core.Memory) -> None:
    view = refill(backend, memory)
    runs = np.array([(0, 1, 9_999)], np.uint32)
    plan = _core.PagePlan(
        base_bytes=3,
        layer_stride_bytes=0,
        block_stride_bytes=0,
        layers=1,
        segments=[(0, 77)],
        runs=runs,
    )
    assert backend.decode_read(memory, plan).checksum == words_sum([view[80 : 80 + 9_999 * 77]])


def test_thousands_of_short_runs_are_read_whole(
    backend: _core.CpuBackend, memory: _core.Memory
) -> None:
    cache = Pages(8, 2, 2_000, 2, (24, 65), 3)
    view = refill(backend, memory)
    order = np.random.default_rng(0).permutation(cache.blocks)
    runs = np.stack([order, np.zeros_like(order), np.full_like(order, 2)], 1).astype(np.uint32)
    expected = words_sum([view[piece] for piece in cache.pieces(runs)])
    plan = _core.PagePlan(**cache.placement, runs=runs)
    assert backend.decode_read(memory, plan).checksum == expected


def test_layers_may_share_pages_when_they_are_only_read(
    backend: _core.CpuBackend, memory: _core.Memory
) -> None:
    view = refill(backend, memory)
    shared: dict[str, Any] = {"base_bytes": 0, "layer_stride_bytes": 0, "block_stride_bytes": 64}
    runs = np.array([(2, 0, 1)], np.uint32)
    plan = _core.PagePlan(**shared, layers=5, segments=[(0, 64)], runs=runs)
    expected = 5 * words_sum([view[128:192]]) % 2**64
    assert backend.decode_read(memory, plan).checksum == expected
    with pytest.raises(ValueError, match="overlaps"):
        backend.state_update(memory, plan, addend=1)


@pytest.mark.parametrize("source_bytes", [0, 15, 17])
def test_append_needs_whole_source_rows(
    backend: _core.CpuBackend, memory: _core.Memory, source_bytes: int
) -> None:
    cache = Pages(0, 1, 4, 4, (16,), 0)
    plan = _core.SlotPlan(**cache.placement, rows_per_block=4, slots=np.array([3], np.int64))
    with pytest.raises(ValueError, match=f"source has {source_bytes} bytes"):
        backend.append(memory, plan, bytes(source_bytes))
    with pytest.raises(ValueError, match="contiguous"):
        backend.append(memory, plan, np.zeros((16, 2), np.uint8)[:, 0])


@pytest.mark.parametrize("kind", ["read", "write", "copy", "rmw"])
@pytest.mark.parametrize(("offset", "nbytes"), [(0, 1 << 20), (24, 70_008), (3, 520), (8, 0)])
def test_ceilings_do_what_they_say(
    backend: _core.CpuBackend, memory: _core.Memory, kind: _core.Ceiling, offset: int, nbytes: int
) -> None:
    for variant in backend.ceiling_variants(kind):
        before = refill(backend, memory).copy()
        result = backend.ceiling(memory, kind, variant, offset, nbytes)
        after = np.frombuffer(memory, np.uint8)
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


def test_unknown_ceilings_and_variants_are_refused(
    backend: _core.CpuBackend, memory: _core.Memory
) -> None:
    with pytest.raises(ValueError, match=r"ceiling must be one of .*: got 'triad'"):
        backend.ceiling_variants("triad")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"variant is .fast., this operation has: non_temporal"):
        backend.ceiling(memory, "copy", "fast", 0, 64)
    with pytest.raises(ValueError, match="12 bytes are not whole"):
        backend.ceiling(memory, "rmw", backend.ceiling_variants("rmw")[0], 0, 12)


def test_nothing_leaves_the_memory(backend: _core.CpuBackend) -> None:
    memory = backend.allocate(1000)
    cache = Pages(0, 1, 8, 1, (128,), 0)
    within, beyond = (np.array([(block, 0, 1)], np.uint32) for block in (6, 7))
    assert backend.decode_read(memory, _core.PagePlan(**cache.placement, runs=within)).nbytes == 128
    plan = _core.PagePlan(**cache.placement, runs=beyond)
    slots = _core.SlotPlan(**cache.placement, rows_per_block=1, slots=np.array([7], np.int64))
    message = "ends at byte 1024, the memory has 1000"
    with pytest.raises(IndexError, match=message):
        backend.decode_read(memory, plan)
    with pytest.raises(IndexError, match=message):
        backend.state_update(memory, plan, addend=1)
    with pytest.raises(IndexError, match=message):
        backend.append(memory, slots, bytes(128))
    for offset, nbytes in ((0, 1001), (1000, 1), (-8, 16), (8, -8), (2**62, 2**62)):
        with pytest.raises(IndexError, match=f"{nbytes} bytes from byte {offset}"):
            backend.fill(memory, offset, nbytes, 1)
        with pytest.raises(IndexError, match=f"{nbytes} bytes from byte {offset}"):
            backend.ceiling(memory, "read", backend.ceiling_variants("read")[0], offset, nbytes)
