"""Operations on whole blocks as jobs: copying, zeroing, swapping with the host's memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kvprof._core import CopyPlan, Memory
from kvprof.layout import Once
from kvprof.measure.block_tables import Blocks
from kvprof.measure.ceilings import Link
from kvprof.measure.jobs import Job, Workbench
from kvprof.measure.regions import Region
from kvprof.measure.tables import (
    Runs,
    copy_plan,
    host_plan,
    shuffled_places,
    whole_blocks_plan,
)
from kvprof.measure.verify import verify_block_copy, verify_swapped, verify_zero

_LINK_OF: dict[str, Link] = {"swap_out": "device_to_host", "swap_in": "host_to_device"}


def move_jobs(bench: Workbench, region: Region, runs: Runs, tokens: int) -> Iterator[Job]:
    """Move as many blocks as the sequences hold, within ``moved_bytes``, drawn from the whole pool.

    A copy is the fork of a sequence, zeroing what some engines do with blocks before they reuse
    them, a swap the preemption of a sequence to the host, where a block's layers lie together.
    """
    places = shuffled_places(region.blocks, bench.seed)
    block_bytes = region.part.page_bytes * len(region.part.layers)
    held = len(np.unique(runs[:, 0]))
    most = min(held, max(1, bench.pool.shares.moved_bytes // block_bytes))
    on_host = min(most, bench.pool.host.nbytes // block_bytes)
    copied = min(most, region.blocks // 2)
    if copied:
        yield _copy_job(bench, region, places[:copied], places[copied : 2 * copied], tokens)
    if on_host:
        yield from _swap_jobs(bench, region, places[:on_host], tokens)
    # Last: what is copied and swapped must not be zeros, which are all alike.
    yield _zero_job(bench, region, places[:most], tokens)


def _shape(region: Region, blocks: Blocks, tokens: int) -> tuple[int, int]:
    """The sequences and the tokens that so many blocks are: one long one, or states."""
    if isinstance(region.group.keep, Once):
        return len(blocks), tokens
    return 1, len(blocks) * region.group.block_size


def _run_bytes(region: Region) -> int:
    together = region.layer_stride_bytes == region.part.page_bytes
    return region.part.page_bytes * (len(region.part.layers) if together else 1)


def _copy_job(bench: Workbench, region: Region, source: Blocks, target: Blocks, tokens: int) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    plan = copy_plan(region, source, target)
    sequences, length = _shape(region, source, tokens)
    return Job(
        op="block_copy",
        cache=region.part.cache.key,
        order="shuffled",
        sequences=sequences,
        tokens=length,
        run_bytes=_run_bytes(region),
        footprint_bytes=2 * plan.nbytes,
        ceiling="copy",
        kernel=f"copy {region.part.cache.key}",
        variants=backend.variants("block_copy"),
        verify=lambda variant: verify_block_copy(backend, memory, region, source, target, variant),
        run=lambda variant: backend.block_copy(memory, plan, variant),
    )


def _zero_job(bench: Workbench, region: Region, blocks: Blocks, tokens: int) -> Job:
    backend, memory = bench.backend, bench.pool.memory
    plan = whole_blocks_plan(region, blocks)
    sequences, length = _shape(region, blocks, tokens)
    return Job(
        op="zero",
        cache=region.part.cache.key,
        order="shuffled",
        sequences=sequences,
        tokens=length,
        run_bytes=_run_bytes(region),
        footprint_bytes=plan.nbytes,
        ceiling="write",
        kernel=f"zero {region.part.cache.key}",
        variants=backend.variants("zero"),
        verify=lambda variant: verify_zero(backend, memory, region, blocks, variant),
        run=lambda variant: backend.zero(memory, plan, variant),
    )


def _swap_jobs(bench: Workbench, region: Region, blocks: Blocks, tokens: int) -> Iterator[Job]:
    memory, host = bench.pool.memory, bench.pool.host
    here, there = whole_blocks_plan(region, blocks), host_plan(region, blocks)
    out, back = CopyPlan(here, there), CopyPlan(there, here)
    yield _swap_job(bench, region, blocks, tokens, "swap_out", (memory, host, out))
    yield _swap_job(bench, region, blocks, tokens, "swap_in", (host, memory, back))


def _swap_job(
    bench: Workbench,
    region: Region,
    blocks: Blocks,
    tokens: int,
    operation: str,
    way: tuple[Memory, Memory, CopyPlan],
) -> Job:
    backend, pool = bench.backend, bench.pool
    source, target, plan = way
    sequences, length = _shape(region, blocks, tokens)

    def verify(variant: str) -> None:
        # The two are made different first, else they might be alike whatever is copied; and the
        # host's pages random, since a ceiling may have left pages there that are all alike.
        backend.fill(pool.host, 0, plan.nbytes, bench.seed + 2)
        if target is pool.memory:
            backend.zero(target, whole_blocks_plan(region, blocks))
        backend.swap(source, target, plan, variant)
        verify_swapped(operation, pool.memory, region, blocks, pool.host)

    return Job(
        op=operation,
        cache=region.part.cache.key,
        order="shuffled",
        sequences=sequences,
        tokens=length,
        run_bytes=_run_bytes(region),
        footprint_bytes=plan.nbytes if bench.pool.own_memory else 2 * plan.nbytes,
        ceiling=_LINK_OF[operation] if bench.pool.own_memory else "copy",
        kernel=f"{operation} {region.part.cache.key}",
        variants=backend.variants("swap"),
        verify=verify,
        run=lambda variant: backend.swap(source, target, plan, variant),
    )
