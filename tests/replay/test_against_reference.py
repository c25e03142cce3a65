"""The compiled replay against a plain one: every engine on every architecture, step by step."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kvprof._core import REPLAY_COLUMNS, Replay
from kvprof.accounting import cache_groups, logical_bytes, step_traffic
from kvprof.allocated import unit_bytes
from kvprof.allocation import PAGE_BYTES, Allocation, Blocks, Grow, Pages, Reserve
from kvprof.case import Case
from kvprof.errors import UsageError
from kvprof.layout import Cache, CacheLayout, Chunk, Last
from kvprof.model import Model, reference_model
from kvprof.plan import POOL_SHARES, REQUEST_WASTES
from kvprof.registry import registry
from kvprof.replay.pace import step_moves
from kvprof.replay.policies import compiled_policy
from kvprof.replay.prefixes import prefix_step_of
from kvprof.replay.run import allocation_of
from kvprof.size import Placement, Request, place

from .reference import Asked, Reference
from .reference_memories import memory_of
from .reference_pages import tensors

ENGINES = ("paged", "vllm", "sglang", "vmm", "transformers", "orca-max", "orca-pow2", "orca-oracle")
ARCHITECTURES = sorted(n for n, o in registry().architectures.items() if o.origin.builtin)
SHARES = ("logical", *REQUEST_WASTES)
ENCODER = 24


def case_of(architecture: str, engine: str, **given: object) -> Case:
    """Its memory is what two or three of the longest sequences take."""
    model = reference_model(architecture)
    return Case(model, registry().engine(engine).what, Request(**given))  # type: ignore[arg-type]


def placed(case: Case) -> tuple[Case, Placement, Allocation]:
    placement = place(case.model, case.engine, case.request)
    return case, placement, allocation_of(case, placement)


def need_bytes(allocation: Allocation, placement: Placement, longest: int) -> int:
    """About what one of the longest sequences takes, with what engines put on top."""
    if isinstance(allocation, Blocks):
        held = allocation.plan.reserved_bytes(longest, ENCODER)
        return max(held, allocation.plan.peak_bytes // 4) + 2 * allocation.plan.bytes_per_block
    bare = logical_bytes(cache_groups(placement.kept), longest, ENCODER)
    pages = len(tensors(placement.kept)) if isinstance(allocation, Pages) else 0
    return bare + pages * PAGE_BYTES


def moved_bytes(layout: CacheLayout, tokens: int) -> int:
    moved = step_traffic(layout, tokens, ENCODER)
    return sum(each.bytes_read + each.bytes_written for each in moved)


def requests_of(seed: int, longest: int, *, hashed: bool = False, apart: int = 1) -> list[Asked]:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 14))
    step, asked = 0, []
    for _ in range(count):
        step += int(random.choice([0, 0, 1, 5, 40])) * apart
        prompt = int(random.integers(1, longest * 3 // 4))
        output = int(random.integers(0, min(longest - prompt + 4, 60 if hashed else longest)))
        hashes: tuple[int, ...] = ()
        if hashed:  # prompts that begin alike, in hashes of 8 tokens, up to some block
            kind, common = int(random.integers(0, 3)), int(random.integers(0, longest // 10))
            blocks = -(-prompt // 8)
            hashes = tuple(
                1000 * kind + i if i < common else 10**6 + 1000 * len(asked) + i
                for i in range(blocks)
            )
        asked.append(Asked(step, prompt, output, hashes, tokens=prompt))
    return asked


def compiled(
    placement: Placement,
    allocation: Allocation,
    capacity: int,
    longest: int,
    requests: list[Asked],
    *,
    prefix_tokens: int = 0,
    **options: object,
) -> Replay:
    policy = compiled_policy(
        placement,
        allocation,
        capacity_bytes=capacity,
        longest_tokens=longest,
        encoder_tokens=ENCODER,
        prefix_tokens=prefix_tokens,
    )
    loop = Replay(
        policy,
        ticks_per_s=1.0,
        longest_tokens=longest,
        encoder_tokens=ENCODER,
        **options,  # type: ignore[arg-type]
    )
    for part in (requests[:3], requests[3:]):  # batches, the second of which may be empty
        offsets = np.cumsum([0, *(len(asked.hashes) for asked in part)])
        loop.feed(
            arrival_s=np.array([asked.arrival_step for asked in part], np.float64),
            prompt_tokens=np.array([asked.prompt for asked in part], np.int64),
            output_tokens=np.array([asked.output for asked in part], np.int64),
            hash_offsets=offsets.astype(np.int64),
            hashes=np.array([h for asked in part for h in asked.hashes], np.uint64),
        )
    loop.finish()
    return loop


def compare(
    placement: Placement,
    allocation: Allocation,
    capacity: int,
    longest: int,
    seed: int,
    *,
    prefix_tokens: int = 0,
    swaps: bool = False,
    prefill: float = 0,
    step_ticks: int | None = None,
) -> Reference:
    """With ``step_ticks`` a step also takes a tick for each byte that it moves."""
    unit = unit_bytes(cache_groups(placement.kept))
    memory = memory_of(
        placement,
        allocation,
        capacity,
        longest,
        unit=unit,
        encoder=ENCODER,
        prefix_tokens=prefix_tokens,
    )
    expected = Reference(memory, longest, swaps=swaps, prefill=prefill)
    step: dict[str, object] = {}
    apart = 1
    if step_ticks is not None:
        expected.step_ticks = step_ticks
        expected.moved = lambda tokens: moved_bytes(placement.kept, tokens)
        step = {"step_ticks": step_ticks, "moves": step_moves(placement.kept)}
        apart = step_ticks + moved_bytes(placement.kept, longest)
        expected.prefill = prefill = prefill / apart
    expected.run(requests_of(seed, longest, hashed=prefix_tokens > 0, apart=apart))
    means = None
    for jumps in (False, True):
        for most_samples in (2**20 if step_ticks is None else 2, 3):
            loop = compiled(
                placement,
                allocation,
                capacity,
                longest,
                requests_of(seed, longest, hashed=prefix_tokens > 0, apart=apart),
                prefix_tokens=prefix_tokens,
                jumps=jumps,
                most_samples=most_samples,
                preemption="swap" if swaps else "recompute",
                prefill_tokens_per_s=prefill,
                **step,
            )
            counts = loop.counts
            assert {name: counts[name] for name in expected.counts} == expected.counts
            assert counts["ticks"] == expected.ticks
            if most_samples > 3 and step_ticks is None:
                check_steps(loop, expected, capacity)
            check_means(loop, expected)
            check_uses(loop, expected)
            assert means in (None, loop.means)
            means = loop.means
    return expected


def check_steps(loop: Replay, expected: Reference, capacity: int) -> None:
    column = {name: loop.samples[:, i].tolist() for i, name in enumerate(REPLAY_COLUMNS)}
    assert column["tick"] == [tick for tick, _, _, _ in expected.steps]
    for name in SHARES:
        assert column[name] == [shares[name] for _, shares, _, _ in expected.steps], name
    for name in POOL_SHARES:
        assert column[f"pool_{name}"] == [pool[name] for _, _, pool, _ in expected.steps], name
    for i in range(len(expected.steps)):
        assert sum(column[name][i] for name in SHARES) == column["pool_reserved"][i]
        assert sum(column[f"pool_{name}"][i] for name in POOL_SHARES) == capacity


def check_means(loop: Replay, expected: Reference) -> None:
    if not expected.steps:
        return
    for name in SHARES:
        total = sum(shares[name] * ticks for _, shares, _, ticks in expected.steps)
        assert loop.means[name] == total / expected.ticks
    fullest = max(expected.steps, key=lambda each: each[2]["reserved"])
    assert loop.fullest["tick"] == fullest[0]
    assert {name: loop.fullest[name] for name in SHARES} == fullest[1]


def check_uses(loop: Replay, expected: Reference) -> None:
    """Blocks of each pool and group: at the fullest instant, on average, the most."""
    uses, steps = expected.uses, expected.steps
    if not steps:
        return
    weights = [ticks for _, _, _, ticks in steps]
    total = sum(weights)

    def mean(values: list[int]) -> float:
        return sum(w * v for w, v in zip(weights, values, strict=True)) / total

    fullest = next(i for i, each in enumerate(steps) if each[0] == loop.fullest["tick"])
    for i, pool in enumerate(loop.pools):
        used, reclaimable, free, _ = uses[fullest].pools[i]
        assert (pool["used"], pool["reclaimable"], pool["free"]) == (used, reclaimable, free)
        assert pool["idle"] == uses[fullest].idle[i]
        assert pool["most_used"] == max(each.pools[i][0] for each in uses)
        for k, name in enumerate(("mean_used", "mean_reclaimable", "mean_free", "full_ratio")):
            assert pool[name] == mean([each.pools[i][k] for each in uses]), name
        assert pool["mean_idle"] == mean([each.idle[i] for each in uses])
        full = [steps[at][0] for at, each in enumerate(uses) if each.pools[i][3]]
        assert pool["first_full"] == min(full, default=None)
    assert len(loop.pools) == len(uses[0].pools)
    if len(loop.groups) == len(uses[0].groups):
        for i, group in enumerate(loop.groups):
            assert group["used"] == uses[fullest].groups[i]
            assert group["most_used"] == max(each.groups[i] for each in uses)
            assert group["mean_used"] == mean([each.groups[i] for each in uses])
    assert sum(group["used"] for group in loop.groups) == sum(uses[fullest].groups)


def run_case(
    architecture: str,
    engine: str,
    seed: int,
    longest: int = 90,
    step_ticks: int | None = None,
    **given: object,
) -> bool:
    """Whether the engine takes the architecture; what it does then must be what it should."""
    random = np.random.default_rng(seed)
    shape = {"tokens": longest, "max_model_len": longest, "encoder_tokens": ENCODER, **given}
    try:
        _, placement, allocation = placed(case_of(architecture, engine, **shape))
    except UsageError:
        return False
    share = float(random.choice([0.4, 1.1, 2.6]))
    capacity = int(need_bytes(allocation, placement, longest) * share) + int(random.integers(0, 99))
    shape["memory_bytes"] = capacity
    _, placement, allocation = placed(case_of(architecture, engine, **shape))
    compare(
        placement,
        allocation,
        capacity,
        longest,
        seed,
        swaps=bool(random.integers(0, 2)),
        prefill=float(random.choice([0, 0, 7])),
        step_ticks=step_ticks,
    )
    return True


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_engine_on_every_architecture(architecture: str, engine: str) -> None:
    with suppress(UsageError):
        for seed in range(2):
            run_case(architecture, engine, seed + 100 * ENGINES.index(engine))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_memory_time(architecture: str) -> None:
    """A step takes what it moves: by length, window, choice, state, whatever is kept."""
    for seed in range(3):
        assert run_case(architecture, "paged", seed, step_ticks=(0, 1000, 10**7)[seed])


def narrowed(model: Model) -> Model:
    """The same with windows and chunks that a short prompt leaves."""

    def narrow(cache: Cache) -> Cache:
        match cache.keep:
            case Last(n) if n > 128:
                return replace(cache, keep=Last(24))
            case Chunk(n) if n > 128:
                return replace(cache, keep=Chunk(32))
        return cache

    layers = tuple(
        replace(layer, owns=tuple(map(narrow, layer.owns))) for layer in model.layout.layers
    )
    return replace(model, layout=replace(model.layout, layers=layers))


def cached_case(architecture: str, engine: str, seed: int) -> Reference:
    """Prefixes in a memory for a few sequences; what is found must be what it should."""
    random = np.random.default_rng(seed)
    model = narrowed(reference_model(architecture))
    shape: dict[str, object] = {"tokens": 90, "max_model_len": 90}
    case = Case(model, registry().engine(engine).what, Request(**shape))  # type: ignore[arg-type]
    _, placement, allocation = placed(case)
    assert isinstance(allocation, Blocks)
    step = prefix_step_of(allocation.plan)
    longest = max(90, 3 * step, min(6 * step, 400))
    if engine == "sglang" and any(isinstance(g.keep, Last) for g in allocation.plan.groups):
        longest += 3 * 128  # what leaves a window goes so many tokens at a time
    shape = {"tokens": longest, "max_model_len": longest}
    case = Case(model, case.engine, Request(**shape))  # type: ignore[arg-type]
    _, placement, allocation = placed(case)
    share = float(random.choice([1.1, 2.6, 9.0]))
    capacity = int(need_bytes(allocation, placement, longest) * share) + int(random.integers(0, 99))
    while True:  # what SGLang sets apart of a model may be more
        case = Case(model, case.engine, Request(**shape, memory_bytes=capacity))  # type: ignore[arg-type]
        _, placement, allocation = placed(case)
        if all(group.num_blocks for group in allocation.plan.groups):  # type: ignore[union-attr]
            break
        capacity *= 2
    swaps, prefill = bool(random.integers(0, 2)), int(random.choice([0, 0, 7]))
    given = {"swaps": swaps, "prefill": prefill, "prefix_tokens": 8}
    return compare(placement, allocation, capacity, longest, seed, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["paged", "vllm", "sglang"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prefixes_of_every_engine_and_architecture(architecture: str, engine: str) -> None:
    hits = []
    with suppress(UsageError):
        for seed in range(8):
            found = cached_case(architecture, engine, seed + 100 * ENGINES.index(engine))
            hits.append(found.counts["hit_tokens"])
    assert not hits or sum(hits) > 0


@given(
    st.sampled_from(["paged", "vllm", "sglang"]),
    st.sampled_from(["sliding", "chunked", "hybrid", "compressed", "rg_lru", "shared", "zamba"]),
    st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None)
def test_prefixes_of_random_traffic(engine: str, architecture: str, seed: int) -> None:
    with suppress(UsageError):
        cached_case(architecture, engine, seed)


def test_most_engines_take_most_architectures() -> None:
    taken = 0
    for architecture in ARCHITECTURES:
        for engine in ENGINES:
            with suppress(UsageError):
                placed(case_of(architecture, engine, tokens=64, memory_bytes=2**30))
                taken += 1
    assert taken >= 0.8 * len(ARCHITECTURES) * len(ENGINES)


@given(
    st.sampled_from(["paged", "vllm", "sglang", "vmm", "orca-pow2", "orca-oracle"]),
    st.sampled_from(["gqa", "sliding", "chunked", "mla", "hybrid"]),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_random_traffic(engine: str, architecture: str, seed: int) -> None:
    with suppress(UsageError):
        run_case(architecture, engine, seed)


@pytest.mark.parametrize("engine", ["paged", "vllm"])
@given(seed=st.integers(0, 2**32), block_size=st.sampled_from([4, 8, 16]), share=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_prefixes(engine: str, seed: int, block_size: int, share: int) -> None:
    block_size = 16 if engine == "vllm" else block_size
    shape = {"tokens": 96, "max_model_len": 96, "block_size": block_size}
    capacity = share * 64 * 131_072 + 77
    _, placement, allocation = placed(case_of("gqa", engine, memory_bytes=capacity, **shape))
    compare(placement, allocation, capacity, 96, seed, prefix_tokens=8, swaps=seed % 2 == 0)


@pytest.mark.parametrize(
    "allocation",
    [Pages(4096), Reserve("max", "first_fit"), Reserve("pow2", "first_fit"), Grow(64)],
    ids=str,
)
def test_settings_of_policies(allocation: Allocation) -> None:
    case = case_of("gqa", "paged", tokens=64, max_model_len=64, memory_bytes=2**24)
    _, placement, _ = placed(case)
    for seed in range(8):
        compare(placement, allocation, 20 * 2**20 + 5, 64, seed)
