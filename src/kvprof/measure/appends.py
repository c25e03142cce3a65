"""Rows to append: where they come from, and prefill and decode as jobs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof._core import Backend, Memory, SlotPlan, StreamResult
from kvprof.measure.block_tables import Tables
from kvprof.measure.ceilings import Kind
from kvprof.measure.jobs import Job, Workbench
from kvprof.measure.regions import Region
from kvprof.measure.sampler import Timed
from kvprof.measure.tables import (
    Runs,
    Shape,
    last_slots,
    run_slots,
    shuffled_places,
    slot_plan,
)
from kvprof.measure.verify import verify_append

_CACHED_BYTES = 256 * 1024
"""Rows of the host come from a buffer that stays in cache, as if just computed."""


class Rows(Struct, frozen=True):
    """Random rows to append: of the host, ``[rows, row_bytes]``, or a memory of the device.

    Rows of a memory are streamed from it: what appends them reads as much as it writes.
    """

    source: NDArray[np.uint8] | Memory

    @property
    def counted(self) -> int:
        """How often each byte written counts."""
        return 2 if isinstance(self.source, Memory) else 1

    @property
    def ceiling(self) -> Kind:
        return "copy" if isinstance(self.source, Memory) else "write"

    def append(
        self, backend: Backend, memory: Memory, plan: SlotPlan, variant: str
    ) -> StreamResult:
        """Append them, for the clock."""
        if not isinstance(self.source, Memory):
            self.source.max()  # brought back into the cache that a flush has emptied
        return backend.append(memory, plan, self.source, variant)


def rows_to_append(bench: Workbench, count: int, row_bytes: int) -> Rows:
    """As many rows as fit in a cache, or those of the device's memory."""
    if bench.pool.own_memory:
        return Rows(bench.pool.sources.of(row_bytes))
    size = (max(1, min(count, _CACHED_BYTES // row_bytes)), row_bytes)
    return Rows(np.random.default_rng(bench.seed).integers(0, 256, size, np.uint8))


def append_jobs(
    bench: Workbench, region: Region, runs: Runs, tables: Tables, shape: Shape
) -> Iterator[Job]:
    """Prefill writes all rows of every sequence; decode one row of each, a new one each step."""
    places = shuffled_places(region.blocks, bench.seed).astype(np.int64)
    rows_per_block = region.group.rows_per_block
    kept = last_slots(tables, region.group, region.group_index)
    steps = [
        np.array([slots[-1 - step % len(slots)] for slots in kept if len(slots)])
        for step in range(bench.effort.steps)
    ]
    for tokens, fresh in ((shape.tokens, [run_slots(runs, rows_per_block)]), (1, steps)):
        moved = [places[s // rows_per_block] * rows_per_block + s % rows_per_block for s in fresh]
        yield _append_job(bench, region, moved, "shuffled", Shape(shape.sequences, tokens))
        yield _append_job(bench, region, fresh, "fresh", Shape(shape.sequences, tokens))
        if shape.tokens == 1:
            return


def _append_job(
    bench: Workbench, region: Region, steps: list[NDArray[np.int64]], order: str, shape: Shape
) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    plans = [slot_plan(region, step) for step in steps]
    rows = rows_to_append(bench, len(steps[0]), region.row_bytes)
    in_turn = cycle(plans)

    def verify(variant: str) -> None:
        for step in steps:
            verify_append(backend, memory, region, step, rows.source, variant)

    def run(variant: str) -> Timed:
        return rows.append(backend, memory, next(in_turn), variant)

    return Job(
        op="append",
        cache=region.part.cache.key,
        order=order,
        sequences=shape.sequences,
        tokens=shape.tokens,
        run_bytes=max(segment.row_bytes for segment in region.part.segments),
        footprint_bytes=plans[0].nbytes * rows.counted,
        ceiling=rows.ceiling,
        kernel=f"append {region.part.cache.key} {shape.tokens}",
        variants=backend.variants("append"),
        verify=verify,
        run=run,
    )
