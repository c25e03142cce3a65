"""Reads, updates, appends and sparse reads of the GPU against the ceiling of their direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cpu_streams import ROWS_PER_BLOCK, Order, fastest, page_plan, slot_plan
from gpu_bench import GIB, KIB, MIB, Bench, best_compared, compared

from kvprof import _core

READ_PAGES = [576, 656, KIB, 1152, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB]
UPDATE_SIZES = [16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]
APPEND_ROWS = [576, 656, KIB, 8 * KIB]
APPEND_BYTES = [64 * MIB, 512 * MIB]
SPAN_PAGES = [KIB, 4 * KIB, 16 * KIB, 64 * KIB]
SPANS = [2 * GIB, 8 * GIB, 32 * GIB]
BEYOND = 64 * GIB
"""The last span is larger, where the device has so much: all that can be had of ``MOST_SPAN``."""
MOST_SPAN = 72 * GIB
PART_FOR_SPAN = 0.95
"""Of what is free beside the pages and the ceilings."""
INDEX_ROW_BYTES = 132
"""128 fp8 values of an indexer's key and their scale (DeepSeek-V3.2)."""
INDEX_BLOCK_ROWS = 64
SPARSE_ROW_BYTES = 656
SPARSE_TOP = 2048
SPARSE_TOKENS = 32 * KIB

Row = dict[str, Any]


def reads(bench: Bench) -> Iterator[Row]:
    """``decode_read`` of pages that lie one after the other, and of pages in any order."""
    backend, memory = bench.backend, bench.memory
    for page_bytes in READ_PAGES:
        orders = {
            "contiguous": bench.contiguous(page_bytes),
            "shuffled": bench.shuffled(page_bytes),
        }
        for order, ids in orders.items():
            plan = page_plan(page_bytes, ids)

            def run(variant: str, plan: _core.PagePlan = plan) -> _core.StreamResult:
                return backend.decode_read(memory, plan, variant)

            found = best_compared(
                bench, run, backend.variants("decode_read"), bench.ceiling("read")
            )
            yield {"op": "decode_read", "run_bytes": page_bytes, "order": order} | found


def updates(bench: Bench) -> Iterator[Row]:
    """States in any order, updated in place."""
    backend, memory = bench.backend, bench.memory
    elements: tuple[_core.Element, ...] = ("float32", "bfloat16")
    for state_bytes in UPDATE_SIZES:
        plan = page_plan(state_bytes, bench.shuffled(state_bytes))
        for element in elements:

            def run(
                variant: str, plan: _core.PagePlan = plan, element: _core.Element = element
            ) -> _core.StreamResult:
                return backend.state_update(
                    memory, plan, element=element, decay=0.875, input=0.125, variant=variant
                )

            found = best_compared(
                bench, run, backend.variants("state_update"), bench.ceiling("rmw")
            )
            yield {"op": f"state_update {element}", "run_bytes": state_bytes} | found


def _slots(bench: Bench, row_bytes: int, tokens: int, shape: str) -> Order:
    """Tokens of a prefill fill one block after the other; those of a decode step are anywhere."""
    blocks = bench.nbytes // (row_bytes * ROWS_PER_BLOCK)
    if shape == "decode":
        return bench.rng.choice(blocks * ROWS_PER_BLOCK, tokens, replace=False)
    used = bench.rng.choice(blocks, -(-tokens // ROWS_PER_BLOCK), replace=False)
    rows = np.arange(ROWS_PER_BLOCK)
    return (used[:, None] * ROWS_PER_BLOCK + rows).reshape(-1)[:tokens]


def appends(bench: Bench) -> Iterator[Row]:
    """Rows of a second memory scattered into blocks; what is read counts, as in a copy."""
    most = bench.nbytes // 4
    for size in dict.fromkeys(min(bench.effort.bytes(size), most) for size in APPEND_BYTES):
        for row_bytes in APPEND_ROWS:
            source = bench.backend.allocate(size // row_bytes * row_bytes, bench.policy)
            bench.backend.fill(source, 0, source.nbytes, 2, finite=True)
            try:
                for shape in ("decode", "prefill"):
                    yield _append(bench, source, row_bytes, shape)
            finally:
                source.release()


def _append(bench: Bench, source: _core.Memory, row_bytes: int, shape: str) -> Row:
    backend, memory = bench.backend, bench.memory
    plan = slot_plan(row_bytes, _slots(bench, row_bytes, source.nbytes // row_bytes, shape))

    def run(variant: str) -> _core.StreamResult:
        return backend.append(memory, plan, source, variant)

    found = best_compared(bench, run, backend.variants("append"), bench.ceiling("copy"))
    about = {"op": "append", "run_bytes": row_bytes, "order": shape, "launch_bytes": plan.nbytes}
    return about | found


def sparse(bench: Bench) -> Iterator[Row]:
    """An index of every token, then the 2048 rows of each sequence that it picked."""
    backend, memory = bench.backend, bench.memory
    per_token = INDEX_ROW_BYTES + SPARSE_ROW_BYTES
    tokens = min(SPARSE_TOKENS, bench.nbytes // per_token) // INDEX_BLOCK_ROWS * INDEX_BLOCK_ROWS
    sequences = bench.nbytes // (per_token * tokens)
    top = min(SPARSE_TOP, tokens)
    block_bytes = INDEX_BLOCK_ROWS * INDEX_ROW_BYTES
    index = page_plan(block_bytes, np.arange(sequences * tokens // INDEX_BLOCK_ROWS))
    picked = [
        sequence * tokens + bench.rng.choice(tokens, top, replace=False)
        for sequence in range(sequences)
    ]
    base = -(-index.nbytes // KIB) * KIB
    ids = np.concatenate(picked)
    ids = ids[ids < (bench.nbytes - base) // SPARSE_ROW_BYTES]
    rows = page_plan(SPARSE_ROW_BYTES, ids, base_bytes=base)

    def run(variant: str) -> _core.StreamResult:
        return backend.sparse_read(memory, index, rows, variant)

    against = bench.ceiling("read")
    found = best_compared(bench, run, backend.variants("sparse_read"), against)
    yield {
        "op": "sparse_read",
        "run_bytes": SPARSE_ROW_BYTES,
        "sequences": sequences,
        "tokens": tokens,
        "top": top,
        "index_bytes": index.nbytes,
        "row_bytes": rows.nbytes,
    } | found


def spans(bench: Bench) -> Iterator[Row]:
    """Pages drawn from ever larger pools against as many that lie together, in other memory.

    It costs address translation; the bytes are as many.
    """
    backend = bench.backend
    sizes = _span_sizes(bench, int(PART_FOR_SPAN * backend.available_bytes()))
    if not sizes:
        return
    pool = backend.allocate(max(sizes), bench.policy)
    try:
        backend.fill(pool, 0, pool.nbytes, 3)
        for span_bytes in sizes:
            for page_bytes in SPAN_PAGES:
                yield _span(bench, pool, span_bytes, page_bytes)
    finally:
        pool.release()


def _span_sizes(bench: Bench, most: int) -> list[int]:
    effort = bench.effort
    last = min(effort.bytes(MOST_SPAN), most >> 21 << 21)
    beyond = [last] if last > effort.bytes(BEYOND) else []
    fit = [size for size in map(effort.bytes, SPANS) if bench.nbytes <= size <= most]
    return fit + beyond


def _span(bench: Bench, pool: _core.Memory, span_bytes: int, page_bytes: int) -> Row:
    backend = bench.backend
    fresh = page_plan(page_bytes, bench.contiguous(page_bytes))
    ids = bench.rng.choice(span_bytes // page_bytes, bench.pages(page_bytes), replace=False)
    shuffled = page_plan(page_bytes, ids)

    def best(memory: _core.Memory, plan: _core.PagePlan) -> str:
        by_variant = fastest(
            lambda variant: backend.decode_read(memory, plan, variant),
            backend.variants("decode_read"),
        )
        return next(iter(by_variant))

    of_fresh, of_shuffled = best(bench.memory, fresh), best(pool, shuffled)
    found = compared(
        bench,
        lambda: backend.decode_read(pool, shuffled, of_shuffled),
        lambda: backend.decode_read(bench.memory, fresh, of_fresh),
    )
    about = {"op": "decode_read", "run_bytes": page_bytes, "span_bytes": span_bytes}
    return about | {"variant": of_shuffled, "fresh_variant": of_fresh} | found
