"""Which streams a family is profiled by, and what each moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kvprof._core import CpuBackend
from kvprof.measure.block_tables import fresh_tables
from kvprof.measure.ceilings import CEILING_KINDS
from kvprof.measure.jobs import Job, Workbench, run_jobs
from kvprof.measure.pool import Pool
from kvprof.measure.regions import map_regions
from kvprof.measure.streams import table_jobs, workload_jobs
from kvprof.page_order import PageOrder

READS = {("decode_read", "fresh"), ("decode_read", "shuffled"), ("decode_read", "contiguous")}
APPENDS = {("append", "fresh"), ("append", "shuffled")}
UPDATES = {("state_update", "fresh"), ("state_update", "shuffled")}
MOVES = {(op, "shuffled") for op in ("block_copy", "zero", "swap_out", "swap_in")}


def jobs_of(bench: Workbench, placed: Callable, model: object, *order: str) -> list[Job]:
    """Three sequences of 100 tokens in blocks of 16."""
    plan, _ = placed(model, 100, 16, PageOrder(*order))  # type: ignore[arg-type]
    regions = map_regions(plan)
    bench.take_placement(regions)
    return workload_jobs(bench, regions, fresh_tables(plan, [100] * 3, 0))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gqa", {"attention": READS | APPENDS | MOVES}),
        ("mla", {"latent": READS | APPENDS | MOVES}),
        (
            "sliding",
            {
                "attention": READS | APPENDS | MOVES,
                "sliding_attention": READS | APPENDS | MOVES,
            },
        ),
        ("ssm", {"mamba1": UPDATES | MOVES}),
        ("hybrid", {"attention": READS | APPENDS | MOVES, "mamba1": UPDATES | MOVES}),
    ],
)
def test_every_cache_has_its_streams(
    bench: Workbench, small: Callable, placed: Callable, name: str, expected: dict
) -> None:
    found: dict[str, set[tuple[str, str]]] = {}
    for job in jobs_of(bench, placed, small(name)):
        found.setdefault(job.cache, set()).add((job.op, job.order))
    assert found == expected


@pytest.mark.parametrize("heads", ["nhd", "hnd"])
@pytest.mark.parametrize("outer", ["layer", "block"])
def test_streams_move_the_bytes_that_the_layout_says(
    bench: Workbench, small: Callable, placed: Callable, heads: str, outer: str
) -> None:
    # 3 layers x (2 KV heads x 32 x K, V x 2 B = 256 B) = 768 B per token; 3 sequences of 100.
    # 21 blocks of 16 tokens are 258,048 B, which a copy reads and writes.
    jobs = jobs_of(bench, placed, small("gqa"), heads, "packed", outer)
    moved = {(job.op, job.order, job.tokens): job.run("").nbytes for job in jobs}
    assert moved == {
        ("decode_read", "fresh", 100): 230_400,
        ("decode_read", "shuffled", 100): 230_400,
        ("decode_read", "contiguous", 100): 230_400,
        ("append", "fresh", 100): 230_400,
        ("append", "fresh", 1): 2_304,
        ("append", "shuffled", 100): 230_400,
        ("append", "shuffled", 1): 2_304,
        ("block_copy", "shuffled", 336): 516_096,
        ("zero", "shuffled", 336): 258_048,
        ("swap_out", "shuffled", 336): 516_096,
        ("swap_in", "shuffled", 336): 516_096,
    }


@pytest.mark.parametrize(
    ("order", "read", "append", "moved"),
    [
        # A row is 256 B, of a head 128 B, of a head's K 64 B; a page of 16 rows 4 KiB, 3 layers of
        # them 12 KiB.
        (("nhd", "packed", "layer"), 4096, 256, 4096),
        (("nhd", "apart", "layer"), 4096, 128, 4096),
        (("hnd", "packed", "layer"), 4096, 128, 4096),
        (("hnd", "apart", "block"), 4096, 64, 12_288),
    ],
)
def test_runs_are_as_long_as_the_memory_order_makes_them(
    bench: Workbench,
    small: Callable,
    placed: Callable,
    order: tuple,
    read: int,
    append: int,
    moved: int,
) -> None:
    runs = {(j.op, j.order): j.run_bytes for j in jobs_of(bench, placed, small("gqa"), *order)}
    assert runs["decode_read", "fresh"] == read
    assert runs["append", "fresh"] == append
    assert runs["swap_out", "shuffled"] == runs["block_copy", "shuffled"] == moved


def test_a_window_is_streamed_and_not_the_context(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    # Of 7 layers every third is full: 2 full, 5 windowed by 40. A token of a layer is
    # 2 KV heads x 32 x K, V x 2 B = 256 B.
    plan, _ = placed(small("sliding"), 100, 16)
    jobs = table_jobs(bench, map_regions(plan), fresh_tables(plan, [100], 0), "fresh")
    moved = {job.cache: job.run("").nbytes for job in jobs}
    assert moved == {"attention": 2 * 100 * 256, "sliding_attention": 5 * 40 * 256}


def test_every_variant_of_every_job_is_verified_and_moves_the_same(
    bench: Workbench, small_model: object, placed: Callable
) -> None:
    plan, _ = placed(small_model, 100, 16)
    regions = map_regions(plan)
    bench.refill(regions)
    for job in workload_jobs(bench, regions, fresh_tables(plan, [100, 41], 0)):
        moved = set()
        for variant in job.variants:
            job.verify(variant)
            moved.add(job.run(variant).nbytes)
        assert len(moved) == 1, job.name


def test_jobs_run_within_the_budget_and_the_rest_is_named(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    jobs = jobs_of(bench, placed, small("gqa"))
    timed, dropped = run_jobs(bench, (), jobs, -1.0, lambda what, part: None)
    assert timed == []
    assert dropped == [job.name for job in jobs]
    timed, dropped = run_jobs(bench, (), jobs, 60.0, lambda what, part: None)
    assert dropped == []
    assert [stream.job for stream in timed] == jobs
    for stream in timed:
        facts = stream.facts()
        assert facts.bytes_per_s > 0
        assert facts.ratio_to_ceiling > 0
        assert set(facts.variants) == set(stream.job.variants)
        best = max(facts.variants.values())
        assert facts.variants[facts.variant] >= best / 1.02
        assert facts.seconds.q1 <= facts.seconds.median <= facts.seconds.q3


def test_jobs_of_one_kernel_run_by_one_variant(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    chosen: dict[str, set[str]] = {}
    for job in jobs_of(bench, placed, small("gqa")):
        chosen.setdefault(job.kernel, set()).add(bench.choice_of(job).variant)
    assert all(len(variants) == 1 for variants in chosen.values())


def test_ceilings_have_a_fastest_variant_of_each_kind(
    bench: Workbench, backend: CpuBackend
) -> None:
    assert set(bench.ceilings.bytes_per_s) == set(CEILING_KINDS)
    for kind, variant in bench.ceilings.variants.items():
        assert variant in backend.ceiling_variants(kind)


def test_rows_from_the_devices_memory_are_read_and_written(
    own_memory_bench: Workbench, small: Callable, placed: Callable
) -> None:
    # 768 B per token of three layers, as above; each is read from a memory and written to the pool.
    appends = [j for j in jobs_of(own_memory_bench, placed, small("gqa")) if j.op == "append"]
    moved = {(job.order, job.tokens): job.run("").nbytes for job in appends}
    assert moved == {
        ("fresh", 100): 2 * 230_400,
        ("fresh", 1): 2 * 2_304,
        ("shuffled", 100): 2 * 230_400,
        ("shuffled", 1): 2 * 2_304,
    }
    for job in appends:
        assert job.ceiling == "copy"
        assert job.footprint_bytes == job.run("").nbytes
        for variant in job.variants:
            job.verify(variant)


def test_rows_of_all_sizes_share_what_the_pool_leaves_them(
    own_memory_bench: Workbench, small: Callable, placed: Callable
) -> None:
    jobs_of(own_memory_bench, placed, small("mla"))
    sources = own_memory_bench.pool.sources
    (before,) = sources.memories.values()
    # 1 MiB of rows of 1,152 B.
    assert before.nbytes == 2**20 // 1152 * 1152
    assert len(np.unique(before.read(0, 4096))) > 200
    jobs_of(own_memory_bench, placed, small("dsa"))
    # Half of it for rows of 160 B, half for those of 64 B; what was there was given back.
    assert {memory.nbytes for memory in sources.memories.values()} == {
        2**19 // 160 * 160,
        2**19 // 64 * 64,
    }
    with pytest.raises(ValueError, match="released"):
        before.read(0, 1)


def test_swaps_over_a_link_are_compared_with_one_copy_of_their_direction(
    own_memory_bench: Workbench, small: Callable, placed: Callable
) -> None:
    jobs = jobs_of(own_memory_bench, placed, small("gqa"))
    swaps = {job.op: job for job in jobs if job.op.startswith("swap")}
    assert swaps["swap_out"].ceiling == "device_to_host"
    assert swaps["swap_in"].ceiling == "host_to_device"
    # 21 blocks of 12 KiB: over a link each byte counts once.
    assert {job.footprint_bytes for job in swaps.values()} == {258_048}
    timed, _ = run_jobs(own_memory_bench, (), list(swaps.values()), 60.0, lambda what, part: None)
    links = own_memory_bench.ceilings.link_bytes_per_s
    for stream in timed:
        assert stream.facts().ceiling in links
        assert stream.facts().ceiling_bytes_per_s > 0


def test_a_link_has_ceilings_of_two_directions_and_a_cpu_none(
    own_memory_bench: Workbench, bench: Workbench
) -> None:
    links = own_memory_bench.ceilings.link_bytes_per_s
    assert set(links) == {"device_to_host", "host_to_device"}
    assert bench.ceilings.link_bytes_per_s == {}
    for ceilings in (own_memory_bench.ceilings, bench.ceilings):
        assert set(ceilings.bytes_per_s) == set(ceilings.variants) == set(CEILING_KINDS)


@pytest.mark.parametrize("kind", ["device_to_host", "host_to_device"])
def test_a_pass_over_the_link_copies_all_that_the_host_holds(
    own_memory_bench: Workbench, pool: Pool, kind: str
) -> None:
    own_memory_bench.refill(())
    moved = own_memory_bench.ceilings.operation(kind, "")()
    # On the CPU bytes read and written count; the host's memory is smaller than half of 4 MiB.
    assert moved.nbytes == 2 * pool.host.nbytes
    half = pool.ceiling_bytes // 2
    on_host = pool.host.read(0, pool.host.nbytes).tobytes()
    there = [pool.memory.read(pool.nbytes + at, pool.host.nbytes).tobytes() for at in (0, half)]
    assert on_host in there
