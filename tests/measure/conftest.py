"""A small real pool, and placements in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from kvprof._core import CpuBackend
from kvprof.accounting import CacheGroup, cache_groups
from kvprof.config_file import parse_config
from kvprof.measure.allocation import policy_costs
from kvprof.measure.jobs import Workbench
from kvprof.measure.pool import Placed, Pool
from kvprof.measure.pool_sizes import OF_ITS_OWN, SHARED_WITH_THE_HOST
from kvprof.measure.regions import plan_memory
from kvprof.measure.sources import Sources
from kvprof.model import Model, lay_out
from kvprof.page_order import PageOrder
from kvprof.plan import AllocationPlan
from kvprof.registry import registry
from kvprof.size import Placement, Request, place

MIB = 2**20
DEFAULT_ORDER = PageOrder()

SMALL_CONFIGS = {
    "gqa": {
        "model_type": "llama",
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "hidden_size": 256,
    },
    "mla": {
        "model_type": "deepseek_v3",
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "hidden_size": 256,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
    },
    "dsa": {
        # Every layer chooses 24 rows by an indexer of 32 x 2 B = 64 B a token.
        "model_type": "deepseek_v32",
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "hidden_size": 256,
        "kv_lora_rank": 64,
        "qk_rope_head_dim": 16,
        "index_head_dim": 32,
        "index_topk": 24,
    },
    "sliding": {
        "model_type": "gemma3_text",
        "num_hidden_layers": 7,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "hidden_size": 128,
        "sliding_window": 40,
        "sliding_window_pattern": 3,
    },
    "hybrid": {
        "model_type": "jamba",
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 128,
    },
    "ssm": {"model_type": "mamba", "num_hidden_layers": 3, "hidden_size": 96},
    "odd": {
        # A state of 17 channels: (17 x 3 + 17 x 3) x 2 B = 204 B, no whole number of words.
        "model_type": "mamba",
        "num_hidden_layers": 2,
        "hidden_size": 17,
        "expand": 1,
        "state_size": 3,
    },
}
"""Configs of each family that are small enough to age a pool of a few MiB."""


@pytest.fixture(scope="session")
def backend() -> CpuBackend:
    return CpuBackend()


@pytest.fixture(scope="session")
def pool(backend: CpuBackend) -> Pool:
    memory, host = backend.allocate(24 * MIB), backend.allocate(MIB)
    backend.fill(memory, 0, 24 * MIB, 7)
    backend.fill(host, 0, MIB, 8)
    return Pool(
        memory=memory,
        host=host,
        sources=Sources(backend, 0, 9),
        shares=SHARED_WITH_THE_HOST,
        nbytes=20 * MIB,
        ceiling_bytes=4 * MIB,
        least_bytes=0,
        seconds=0.0,
        touch_seconds=0.0,
        policies=policy_costs(backend),
        placed=Placed(None, None, None),
    )


@pytest.fixture(scope="session")
def bench(backend: CpuBackend, pool: Pool) -> Workbench:
    return Workbench(backend, pool, seed=3)


@pytest.fixture(scope="session")
def own_memory_bench(backend: CpuBackend, pool: Pool) -> Workbench:
    """The CPU treated as a device that has memory of its own."""
    own = replace(pool, shares=OF_ITS_OWN, sources=Sources(backend, MIB, 9))
    return Workbench(backend, own, seed=3)


@pytest.fixture(params=sorted(SMALL_CONFIGS))
def small_model(request: pytest.FixtureRequest) -> Model:
    return _small(request.param)


@pytest.fixture
def small() -> Callable[[str], Model]:
    """A small model of a family by name."""
    return _small


def _small(name: str) -> Model:
    return lay_out(parse_config(SMALL_CONFIGS[name], name=name, source="test"))


PlanAndNeeds = tuple[AllocationPlan, tuple[CacheGroup, ...]]


@pytest.fixture
def placement_of(pool: Pool) -> Callable[[Model, int, int], Placement]:
    """Place a model in the small pool for sequences of so many tokens, in blocks of a size."""

    def place_model(
        model: Model,
        tokens: int,
        block_size: int | None,
        order: PageOrder = DEFAULT_ORDER,
        engine: str = "paged",
    ) -> Placement:
        request = Request(
            tokens=tokens,
            block_size=block_size,
            memory_bytes=plan_memory(pool.nbytes, 4),
            cache_dtype="bfloat16",
            order=order,
        )
        return place(model, registry().engine(engine).what, request)

    return place_model


@pytest.fixture
def placed(placement_of: Callable[..., Placement]) -> Callable[..., PlanAndNeeds]:
    """The same: its plan, and what of the bytes is needed."""

    def place_model(*given: object) -> PlanAndNeeds:
        placement = placement_of(*given)
        assert placement.plan is not None
        return placement.plan, cache_groups(placement.layout)

    return place_model
