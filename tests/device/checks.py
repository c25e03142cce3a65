"""Every operation in all its variants, against what NumPy makes of the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from kvprof import _core

from .arithmetic import Update, floats
from .model import SEED, Bytes, Pages, Runs, assert_same, bytes_of, refill, words_sum

Copies = tuple[Pages, Runs, Pages, Runs]


def all_variants(backend: _core.Backend, stream: _core.Stream) -> list[str]:
    return ["", *backend.variants(stream)]


def check_decode_read(
    backend: _core.Backend, memory: _core.Memory, cache: Pages, runs: Runs
) -> None:
    held = refill(backend, memory)
    plan = cache.plan(runs)
    pieces = [held[piece] for piece in cache.pieces(runs)]
    expected = words_sum(pieces)
    for variant in all_variants(backend, "decode_read"):
        result = backend.decode_read(memory, plan, variant)
        assert result.checksum == expected, (variant, cache)
        assert result.nbytes == plan.nbytes == sum(len(piece) for piece in pieces)
        assert result.seconds > 0
    assert_same(bytes_of(memory), held)


def check_sparse_read(
    backend: _core.Backend,
    memory: _core.Memory,
    index: tuple[Pages, Runs],
    rows: tuple[Pages, Runs],
) -> None:
    held = refill(backend, memory)
    index_plan, rows_plan = (cache.plan(runs) for cache, runs in (index, rows))
    pieces = [held[piece] for cache, runs in (index, rows) for piece in cache.pieces(runs)]
    expected = words_sum(pieces)
    for variant in all_variants(backend, "sparse_read"):
        result = backend.sparse_read(memory, index_plan, rows_plan, variant)
        assert result.checksum == expected, (variant, index, rows)
        assert result.nbytes == index_plan.nbytes + rows_plan.nbytes
        assert result.seconds > 0
    assert_same(bytes_of(memory), held)


def check_zero(backend: _core.Backend, memory: _core.Memory, cache: Pages, runs: Runs) -> None:
    expected = refill(backend, memory)
    for piece in cache.pieces(runs):
        expected[piece] = 0
    plan = cache.plan(runs)
    for variant in all_variants(backend, "zero"):
        backend.fill(memory, 0, memory.nbytes, SEED)
        result = backend.zero(memory, plan, variant)
        assert_same(bytes_of(memory), expected, f"{variant} {cache}")
        assert (result.nbytes, result.checksum) == (plan.nbytes, 0)


def check_state_update(
    backend: _core.Backend, memory: _core.Memory, cache: Pages, runs: Runs, update: Update
) -> None:
    words = update.element == "word64"
    before = refill(backend, memory) if words else floats(memory.nbytes)
    expected = before.copy()
    pieces = cache.pieces(runs)
    for piece in pieces:
        expected[piece] = update.applied(before[piece])
    checksum = words_sum([expected[piece] for piece in pieces])
    plan = cache.plan(runs)
    for variant in all_variants(backend, "state_update"):
        memory.write(0, before)
        result = update.run(backend, memory, plan, variant)
        assert_same(bytes_of(memory), expected, f"{variant} {cache}")
        assert result.checksum == checksum, (variant, cache)
        assert result.nbytes == 2 * plan.nbytes


def write_row(memory: Bytes, cache: Pages, layer: int, slot: int, row_of_source: Bytes) -> None:
    block, row = divmod(slot, cache.rows_per_block)
    column = 0
    for segment, row_bytes in enumerate(cache.row_bytes):
        start = cache.address(layer, block, segment, row)
        memory[start : start + row_bytes] = row_of_source[column : column + row_bytes]
        column += row_bytes


def check_append(
    backend: _core.Backend,
    memory: _core.Memory,
    cache: Pages,
    slots: Sequence[int],
    rows: Bytes,
    *,
    in_memory: bool,
) -> None:
    """Rows [source_rows, sum of row_bytes], of the host or in a memory of their own."""
    expected = refill(backend, memory)
    for layer in range(cache.layers):
        for token, slot in enumerate(slots):
            if slot >= 0:
                row = rows[(layer * len(slots) + token) % len(rows)]
                write_row(expected, cache, layer, slot, row)
    plan = _core.SlotPlan(
        **cache.placement,
        rows_per_block=cache.rows_per_block,
        slots=np.array(slots, np.int64),
    )
    source = memory_of(backend, memory.policy, rows) if in_memory else rows
    written_slots = {slot for slot in slots if slot >= 0}
    written_bytes = len(written_slots) * sum(cache.row_bytes) * cache.layers
    for variant in all_variants(backend, "append"):
        backend.fill(memory, 0, memory.nbytes, SEED)
        result = backend.append(memory, plan, source, variant)
        assert_same(bytes_of(memory), expected, f"{variant} {cache}")
        assert result.nbytes == written_bytes * (2 if in_memory else 1)
        assert result.checksum == 0
    if isinstance(source, _core.Memory):
        assert_same(bytes_of(source), rows.reshape(-1))
        assert source.guards_intact()


def memory_of(backend: _core.Backend, policy: str, held: Bytes) -> _core.Memory:
    memory = backend.allocate(held.size, policy)
    memory.write(0, held)
    return memory


def copied(case: Copies, source: Bytes, target: Bytes) -> Bytes:
    """Return the target after the copy."""
    from_cache, read, to_cache, written = case
    expected = target.copy()
    for a, b in zip(from_cache.pieces(read), to_cache.pieces(written), strict=True):
        expected[b] = source[a]
    return expected


def copy_plan(case: Copies) -> _core.CopyPlan:
    from_cache, read, to_cache, written = case
    return _core.CopyPlan(from_cache.plan(read), to_cache.plan(written))


def check_block_copy(backend: _core.Backend, memory: _core.Memory, case: Copies) -> None:
    before = refill(backend, memory)
    expected = copied(case, before, before)
    plan = copy_plan(case)
    for variant in all_variants(backend, "block_copy"):
        backend.fill(memory, 0, memory.nbytes, SEED)
        result = backend.block_copy(memory, plan, variant)
        assert_same(bytes_of(memory), expected, f"{variant} {case}")
        assert (result.nbytes, result.checksum) == (2 * plan.nbytes, 0)


def counted_bytes(
    backend: _core.Backend, source: _core.Memory, target: _core.Memory, nbytes: int
) -> int:
    """Of a swap: read plus written, but bytes of a host that is not the device do not count."""
    host_is_device = backend.facts.backend == "cpu"
    return nbytes * sum(host_is_device or not end.on_host for end in (source, target))


def check_swap(
    backend: _core.Backend, source: _core.Memory, target: _core.Memory, case: Copies
) -> None:
    before = random_bytes(source.nbytes, 7)
    target_before = random_bytes(target.nbytes, 8)
    source.write(0, before)
    expected = copied(case, before, target_before)
    plan = copy_plan(case)
    nbytes = counted_bytes(backend, source, target, plan.nbytes)
    for variant in all_variants(backend, "swap"):
        target.write(0, target_before)
        result = backend.swap(source, target, plan, variant)
        assert_same(bytes_of(target), expected, f"{variant} {case}")
        assert_same(bytes_of(source), before, f"{variant} {case}")
        assert (result.nbytes, result.checksum) == (nbytes, 0)


@cache
def random_bytes(nbytes: int, seed: int) -> Bytes:
    held = np.random.default_rng(seed).integers(0, 256, nbytes, np.uint8)
    held.flags.writeable = False
    return held
