"""Sparse reads: which layers do them, which rows they take, and what they must add up to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from kvprof._core import CpuBackend
from kvprof.binding import Dtypes, bind
from kvprof.config_file import parse_config
from kvprof.layers import attention_cache, indexer_cache, latent_cache, layer, sparse_layer
from kvprof.layout import CacheLayout
from kvprof.measure.block_tables import fresh_tables
from kvprof.measure.derived import decode_step
from kvprof.measure.host_pages import See, copied, host_pages
from kvprof.measure.jobs import Job, Workbench, run_jobs
from kvprof.measure.pool import Pool
from kvprof.measure.regions import map_regions
from kvprof.measure.sparse import SparseRead, drawn_rows, sparse_reads
from kvprof.measure.streams import workload_jobs
from kvprof.measure.tables import last_slots, run_slots, table_runs
from kvprof.measure.verify import VerificationError, verify_sparse_read
from kvprof.model import Model, lay_out
from kvprof.page_order import PageOrder
from kvprof.size import Request

BF16 = Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16")
LENGTHS = (90, 17, 41)
SHARED = {
    "model_type": "glm_moe_dsa",
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "hidden_size": 256,
    "kv_lora_rank": 64,
    "qk_rope_head_dim": 16,
    "index_head_dim": 32,
    "index_topk": 24,
    "indexer_types": ["full", "shared", "full", "shared"],
}


def sparse_of(model: Model) -> tuple[SparseRead, ...]:
    return sparse_reads(bind(model.layout, BF16))


def jobs_of(bench: Workbench, placed: Callable, model: Model, *order: str) -> list[Job]:
    plan, _ = placed(model, 100, 16, PageOrder(*order))  # type: ignore[arg-type]
    regions = map_regions(plan)
    bench.refill(regions)
    return [
        job
        for job in workload_jobs(bench, regions, fresh_tables(plan, LENGTHS, 0), sparse_of(model))
        if job.op == "sparse_read"
    ]


def test_every_layer_of_deepseek_chooses_by_its_own_index(small: Callable) -> None:
    (read,) = sparse_of(small("dsa"))
    assert (read.cache.key, read.layers, read.topk) == ("latent", (0, 1, 2), 24)
    assert read.index is not None
    assert (read.index.key, read.index_layers) == ("indexer", (0, 1, 2))


def test_layers_that_share_a_choice_read_no_index(small: Callable) -> None:
    (read,) = sparse_of(lay_out(parse_config(SHARED, name="shared", source="test")))
    assert (read.layers, read.index_layers) == ((0, 1, 2, 3), (0, 2))


@pytest.mark.parametrize("name", ["gqa", "mla", "sliding", "ssm", "hybrid"])
def test_dense_families_have_none(small: Callable, name: str) -> None:
    assert sparse_of(small(name)) == ()


@pytest.mark.parametrize("outer", ["layer", "block"])
def test_a_sparse_read_moves_the_index_and_the_chosen_rows(
    bench: Workbench, small: Callable, placed: Callable, outer: str
) -> None:
    # Of 90, 17 and 41 tokens 24, 17 and 24 rows of (64 + 16) x 2 B = 160 B are read, and an index
    # of 64 B of all 148: 3 layers x (65 x 160 + 148 x 64) B = 59,616 B.
    jobs = jobs_of(bench, placed, small("dsa"), "nhd", "packed", outer)
    assert {(job.op, job.cache, job.order) for job in jobs} == {
        ("sparse_read", "latent", "fresh"),
        ("sparse_read", "latent", "shuffled"),
    }
    for job in jobs:
        assert (job.run_bytes, job.footprint_bytes, job.index) == (160, 59_616, "indexer")
        assert (job.sequences, job.tokens, job.ceiling) == (3, 49, "read")
        assert {job.run(variant).nbytes for variant in job.variants} == {59_616}
        for variant in job.variants:
            job.verify(variant)


def test_only_the_owners_of_an_index_stream_it(bench: Workbench, placed: Callable) -> None:
    # 4 layers x 65 rows x 160 B, and 2 of them own an index of 148 x 64 B; 1 and 3 do not.
    model = lay_out(parse_config(SHARED, name="shared", source="test"))
    for job in jobs_of(bench, placed, model):
        assert job.run("").nbytes == 4 * 65 * 160 + 2 * 148 * 64
        job.verify("")


def with_layout(model: Model, layout: CacheLayout) -> Model:
    return replace(model, layout=layout)


def test_rows_are_distinct_live_and_of_every_sequence(small: Callable, placed: Callable) -> None:
    plan, _ = placed(small("dsa"), 100, 16)
    region = next(r for r in map_regions(plan) if r.part.cache.key == "latent")
    tables = fresh_tables(plan, LENGTHS, 0)
    drawn = drawn_rows(tables, region, 24, seed=3)
    chosen = run_slots(drawn, 16).tolist()
    live = [set(s.tolist()) for s in last_slots(tables, region.group, region.group_index)]
    assert len(chosen) == len(set(chosen))
    assert [len(slots & set(chosen)) for slots in live] == [24, 17, 24]
    assert set(drawn[:, 2].tolist()) == {1}
    assert chosen == run_slots(drawn_rows(tables, region, 24, seed=3), 16).tolist()
    assert chosen != run_slots(drawn_rows(tables, region, 24, seed=4), 16).tolist()
    assert chosen[:24] != sorted(chosen[:24]), "in no order of memory"


@pytest.mark.parametrize("see", [host_pages, copied, partial(copied, most_reads=5)])
def test_a_faulty_sparse_read_is_caught(
    backend: CpuBackend, pool: Pool, small: Callable, placed: Callable, see: See
) -> None:
    plan, _ = placed(small("dsa"), 100, 16)
    regions = {region.part.cache.key: region for region in map_regions(plan)}
    tables = fresh_tables(plan, LENGTHS, 0)
    index, rows = (
        (region, table_runs(tables, region.group, region.group_index))
        for region in (regions["indexer"], regions["latent"])
    )
    rows[1][:, 2] = 1
    verify_sparse_read(backend, pool.memory, index, rows, see=see)

    class Forgetful:
        """Reads the rows and not the index."""

        def sparse_read(self, memory: Any, index: Any, rows: Any, variant: str) -> Any:
            return backend.decode_read(memory, rows, variant)

    with pytest.raises(VerificationError, match="sparse_read of 'latent'"):
        verify_sparse_read(Forgetful(), pool.memory, index, rows, see=see)  # type: ignore[arg-type]


def test_rows_without_an_index_are_read_alone(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    cache = latent_cache(64, 16)
    layout = CacheLayout(tuple(sparse_layer(i, cache, None, 24) for i in range(3)))
    for job in jobs_of(bench, placed, with_layout(small("dsa"), layout)):
        assert job.index is None
        assert job.run("").nbytes == 3 * 65 * 160
        job.verify("")


def test_dense_layers_before_the_sparse_ones_are_not_read(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    # As in MiniMax-M3: three dense layers keep the same cache as two sparse ones. A row is
    # 2 heads x 16 x 2 (K, V) x 2 B = 128 B, of the index 64 B.
    cache, indexer = attention_cache(2, 16), indexer_cache(32)
    dense = [layer(i, cache) for i in range(3)]
    layout = CacheLayout((*dense, *(sparse_layer(i, cache, indexer, 24) for i in (3, 4))))
    for job in jobs_of(bench, placed, with_layout(small("dsa"), layout)):
        assert job.run("").nbytes == 2 * (65 * 128 + 148 * 64)
        job.verify("")


def test_a_step_takes_the_sparse_reads_rate_for_the_rows_and_the_index(
    bench: Workbench, small: Callable, placed: Callable
) -> None:
    jobs = [job for job in jobs_of(bench, placed, small("dsa")) if job.order == "fresh"]
    timed, _ = run_jobs(bench, (), jobs, 60.0, lambda what, part: None)
    layout = bind(small("dsa").layout, BF16)
    ceilings = {"read": 1e30, "write": 1e30, "rmw": 1e30}
    request = Request(tokens=90, lengths=tuple((1, length) for length in LENGTHS))
    step = decode_step(layout, request, timed, ceilings, None)
    # Its bytes are those that the stream has read, so it takes the time that the stream took.
    assert step.bytes_read == 59_616
    assert step.seconds == pytest.approx(float(np.median(timed[0].paired.seconds)))


def test_a_sparse_read_that_was_not_timed_runs_at_its_ceiling(small: Callable) -> None:
    layout = bind(small("dsa").layout, BF16)
    ceilings = {"read": 100.0, "write": 1e30, "rmw": 1e30}
    step = decode_step(layout, Request(tokens=90), [], ceilings, None)
    # 24 rows of 160 B and 90 of 64 B in each of 3 layers.
    assert step.bytes_read == 3 * (24 * 160 + 90 * 64)
    assert step.seconds == pytest.approx(step.bytes_read / 100)
