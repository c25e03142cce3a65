"""Which streams a family is profiled by, and what each moves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kvprof._core import CpuBackend
from kvprof.measure.ceilings import CEILING_KINDS, Ceilings
from kvprof.measure.pool import Pool, map_regions
from kvprof.measure.streams import Workbench, read_jobs, run_jobs, workload_jobs
from kvprof.measure.tables import admit_all

READS = {("decode_read", "fresh"), ("decode_read", "shuffled"), ("decode_read", "contiguous")}
APPENDS = {("append", "fresh"), ("append", "shuffled")}
UPDATES = {("state_update", "fresh"), ("state_update", "shuffled")}


@pytest.fixture(scope="module")
def bench(backend: CpuBackend, pool: Pool) -> Workbench:
    return Workbench(backend, pool, Ceilings(backend, pool), seed=3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gqa", {"attention": READS | APPENDS}),
        ("mla", {"latent": READS | APPENDS}),
        (
            "sliding",
            {"attention": READS | APPENDS, "sliding_attention": READS | APPENDS},
        ),
        ("ssm", {"mamba1": UPDATES}),
        ("hybrid", {"attention": READS | APPENDS, "mamba1": UPDATES}),
    ],
)
def test_every_cache_has_its_streams(
    bench: Workbench, small: Callable, placed: Callable, name: str, expected: dict
) -> None:
    plan, _ = placed(small(name), 100, 16)
    jobs = workload_jobs(bench, map_regions(plan), admit_all(plan, [100] * 3, 0), 100, 0)
    found: dict[str, set[tuple[str, str]]] = {}
    for job in jobs:
        found.setdefault(job.cache, set()).add((job.op, job.order))
    assert found == expected


def test_streams_move_the_bytes_that_the_layout_says(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    # 3 layers x (2 KV heads x 32 x K, V x 2 B = 256 B) = 768 B per token; 3 sequences of 100.
    plan, _ = placed(small("gqa"), 100, 16)
    jobs = workload_jobs(bench, map_regions(plan), admit_all(plan, [100] * 3, 0), 100, 0)
    moved = {(job.op, job.order, job.tokens): job.operation().nbytes for job in jobs}
    assert moved == {
        ("decode_read", "fresh", 100): 230_400,
        ("decode_read", "shuffled", 100): 230_400,
        ("decode_read", "contiguous", 100): 230_400,
        ("append", "fresh", 100): 230_400,
        ("append", "fresh", 1): 2_304,
        ("append", "shuffled", 100): 230_400,
        ("append", "shuffled", 1): 2_304,
    }


def test_a_window_is_streamed_and_not_the_context(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    # Of 7 layers every third is full: 2 full, 5 windowed by 40. A token of a layer is
    # 2 KV heads x 32 x K, V x 2 B = 256 B.
    plan, _ = placed(small("sliding"), 100, 16)
    jobs = read_jobs(bench, map_regions(plan), admit_all(plan, [100], 0), "fresh", 0)
    moved = {job.cache: job.operation().nbytes for job in jobs}
    assert moved == {"attention": 2 * 100 * 256, "sliding_attention": 5 * 40 * 256}


def test_jobs_run_within_the_budget_and_the_rest_is_named(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    plan, _ = placed(small("gqa"), 100, 16)
    jobs = workload_jobs(bench, map_regions(plan), admit_all(plan, [100] * 3, 0), 100, 0)
    timed, dropped = run_jobs(bench, jobs, time.perf_counter() - 1, lambda what, part: None)
    assert timed == []
    assert len(dropped) == len(jobs)
    timed, dropped = run_jobs(bench, jobs, time.perf_counter() + 60, lambda what, part: None)
    assert dropped == []
    assert [stream.job for stream in timed] == jobs
    for stream in timed:
        facts = stream.facts()
        assert facts.bytes_per_s > 0
        assert 0 < facts.ratio_to_ceiling < 10
        assert facts.seconds.q1 <= facts.seconds.median <= facts.seconds.q3


def test_ceilings_have_a_fastest_variant_of_each_kind(
    bench: Workbench, backend: CpuBackend
) -> None:
    assert set(bench.ceilings.bytes_per_s) == set(CEILING_KINDS)
    for kind, variant in bench.ceilings.variants.items():
        assert variant in backend.ceiling_variants(kind)
