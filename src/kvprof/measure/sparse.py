"""A layout in, the reads of a decode step that choose their rows by an index out, as jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from kvprof.layers import INDEXER
from kvprof.layout import Cache, CacheLayout, Mode, TopK
from kvprof.measure.block_tables import Tables
from kvprof.measure.jobs import Job, Workbench
from kvprof.measure.regions import Region
from kvprof.measure.tables import (
    RegionRuns,
    Runs,
    Shape,
    last_slots,
    page_plan,
    shuffled,
    table_runs,
)
from kvprof.measure.verify import verify_sparse_read


class SparseRead(Struct, frozen=True):
    """A cache of which each sequence's ``topk`` best rows are read, and the index that tells them.

    ``layers`` own the rows, ``index_layers`` the index: a layer may take the choice of one before
    it. Without an ``index`` of its own the cache is read by a choice that costs no bytes.
    """

    cache: Cache
    layers: tuple[int, ...]
    topk: int
    index: Cache | None
    index_layers: tuple[int, ...]


def sparse_reads(layout: CacheLayout) -> tuple[SparseRead, ...]:
    """One for each cache that layers read by `TopK`, of the most rows that any of them takes.

    Its index is what the same layers read under the key of `layers.indexer_cache`.
    """
    owned = {(layer.index, cache.key): cache for layer, cache in layout.caches()}
    found: dict[Cache, SparseRead] = {}
    for layer in layout.layers:
        reads = [access for access in layer.does if access.mode is Mode.READ]
        indices = [access for access in reads if access.key == INDEXER]
        for access in reads:
            if not isinstance(access.span, TopK):
                continue
            cache = owned[access.layer, access.key]
            known = found.get(cache) or SparseRead(cache, (), 0, None, ())
            index = {a.layer: owned[a.layer, a.key] for a in indices}
            found[cache] = SparseRead(
                cache,
                tuple(sorted({*known.layers, access.layer})),
                max(known.topk, access.span.n),
                next(iter(index.values()), known.index),
                tuple(sorted({*known.index_layers, *index})),
            )
    return tuple(found.values())


def sparse_jobs(
    bench: Workbench,
    regions: Sequence[Region],
    sparse: Sequence[SparseRead],
    tables: Tables,
    orders: Sequence[str],
) -> Iterator[Job]:
    """Each of these reads, in each order, of live sequences that hold anything."""
    for read in sparse:
        for region in regions:
            if region.part.cache != read.cache or not set(region.part.layers) & set(read.layers):
                continue
            rows = _only(region, read.layers)
            drawn = drawn_rows(tables, rows, read.topk, bench.seed)
            index = _index_part(tables, regions, read) or (rows, drawn[:0])
            if len(drawn):
                for order in orders:
                    yield _sparse_job(bench, index, (rows, drawn), order, Shape.of(tables))


def _only(region: Region, layers: Sequence[int]) -> Region:
    """The region from the first to the last of those layers."""
    places = [place for place, layer in enumerate(region.part.layers) if layer in layers]
    first, end = min(places), max(places) + 1
    return replace(
        region,
        part=replace(region.part, layers=region.part.layers[first:end]),
        base_bytes=region.base_bytes + first * region.layer_stride_bytes,
    )


def _index_part(tables: Tables, regions: Sequence[Region], read: SparseRead) -> RegionRuns | None:
    """The index that the rows are chosen by: all rows of it that the sequences keep."""
    for region in regions:
        if region.part.cache == read.index and set(region.part.layers) & set(read.index_layers):
            index = _only(region, read.index_layers)
            return index, table_runs(tables, index.group, index.group_index)
    return None


def drawn_rows(tables: Tables, region: Region, topk: int, seed: int) -> Runs:
    """Runs of one row each: of every sequence as many as it reads, drawn from those it keeps."""
    drawn = [np.zeros(0, np.int64)]
    for number, slots in enumerate(last_slots(tables, region.group, region.group_index)):
        rng = np.random.default_rng((seed, number))
        drawn.append(rng.choice(slots, min(topk, len(slots)), replace=False))
    blocks, rows = np.divmod(np.concatenate(drawn), region.group.rows_per_block)
    return np.stack([blocks, rows, np.ones_like(rows)], axis=1).astype(np.uint32)


def _sparse_job(
    bench: Workbench, index: RegionRuns, rows: RegionRuns, order: str, shape: Shape
) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    if order == "shuffled":
        index, rows = (
            (region, shuffled(runs, region.blocks, bench.seed)) for region, runs in (index, rows)
        )
    plans = page_plan(*index), page_plan(*rows)
    region = rows[0]
    return Job(
        op="sparse_read",
        cache=region.part.cache.key,
        order=order,
        sequences=shape.sequences,
        tokens=shape.tokens,
        run_bytes=max(segment.row_bytes for segment in region.part.segments),
        footprint_bytes=sum(plan.nbytes for plan in plans),
        ceiling="read",
        kernel=f"sparse {region.part.cache.key}",
        variants=backend.variants("sparse_read"),
        verify=lambda variant: verify_sparse_read(backend, memory, index, rows, variant),
        run=lambda variant: backend.sparse_read(memory, *plans, variant),
        index=index[0].part.cache.key if len(index[1]) else None,
    )
