"""A log of vLLM and a plan in, each figure of the one against the other out."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal

from msgspec.structs import replace

from kvprof.accounting import entry_bytes
from kvprof.engine_log import EngineLog
from kvprof.errors import UsageError
from kvprof.hookspecs import Engine
from kvprof.layout import Once
from kvprof.model import Model
from kvprof.plan import AllocationPlan, PlanGroup
from kvprof.result import LogCheck, LogFigure
from kvprof.size import Request, base_block_size, place

_GIB = 2**30
_HALF_A_DIGIT = Decimal("0.005")
_OWN_RECORDS = ("deepseek_v4", "deepseek_v41")


def request_of(log: EngineLog, asked: Request, model: Model) -> Request:
    """What was asked for, and what was not as the log has it.

    Raises
    ------
    UsageError
        When the log names something that is out of bounds.
    """
    longest = asked.max_model_len or log.max_model_len
    chosen = {name for _, name, _ in asked.engine_options}
    options = asked.engine_options
    if log.prefix_caching is False and "prefix_caching" not in chosen:
        options = (*options, ("vllm", "prefix_caching", "off"))
    memory = asked.memory_bytes
    if memory is None and log.memory_gib is not None:
        memory = int(log.memory_gib * _GIB)
    cache_dtype = asked.cache_dtype
    own_record = model.config.model_type in _OWN_RECORDS  # chosen by the engine, whatever it says
    if cache_dtype == "auto" and log.cache_dtype and not own_record:
        cache_dtype = log.cache_dtype.removeprefix("torch.")
    return replace(
        asked,
        tokens=asked.tokens or longest or 1,
        max_model_len=longest,
        memory_bytes=memory,
        cache_dtype=cache_dtype,
        engine_options=options,
        max_batched_tokens=asked.max_batched_tokens or log.max_batched_tokens,
        speculative=asked.speculative or log.speculative or 0,
        tensor_parallel=max(asked.tensor_parallel, log.tensor_parallel or 1),
    )


def check_log(log: EngineLog, model: Model, engine: Engine, request: Request) -> LogCheck:
    """Every figure that the log has and the plan predicts.

    A memory that the log rounds to two decimals of a GiB stands for all that it may have been: a
    figure agrees when it lies between what the least and the most of them give.

    Parameters
    ----------
    request
        What `request_of` made of the log and of what was asked for.

    Raises
    ------
    UsageError
        When the engine places nothing in shared blocks, or there is nothing to compare.
    """
    rounded = log.memory_gib is not None and request.memory_bytes == int(log.memory_gib * _GIB)
    spread = int(_HALF_A_DIGIT * _GIB) if rounded else 0
    memory = request.memory_bytes
    bounds = [memory] if memory is None else [memory, max(1, memory - spread), memory + spread]
    plans = [place(model, engine, replace(request, memory_bytes=each)).plan for each in bounds]
    known = [plan for plan in plans if plan is not None and plan.shared]
    if not known:
        raise UsageError(
            f"--check-log reads logs of vLLM, which the engine {engine.name!r} is not",
            hint="Leave --engine out, or give --engine vllm.",
        )
    figures = (*_capacity(log, known), *_blocks(log, known[0]), *_padding(log, known[0]))
    if not figures:
        raise UsageError(
            f"--check-log {log.path!r} has no figure that can be predicted without the memory",
            hint="Give --memory: what the cache may use.",
        )
    return LogCheck(
        path=log.path,
        engine_version=log.version,
        agrees=all(figure.agrees for figure in figures),
        figures=figures,
    )


def _capacity(log: EngineLog, plans: list[AllocationPlan]) -> Iterator[LogFigure]:
    """What depends on the memory."""
    plan = plans[0]
    if plan.limits.memory_bytes is None:
        return
    if log.num_blocks is not None and plan.num_blocks is not None:
        yield _between("num_blocks", [p.num_blocks or 0 for p in plans], log.num_blocks)
    if log.capacity_tokens is not None and plan.capacity_tokens is not None:
        tokens = [p.capacity_tokens or 0 for p in plans]
        yield _between("capacity_tokens", tokens, log.capacity_tokens)
    if log.max_concurrency is not None and plan.max_concurrency is not None:
        shown = [_two_decimals(Decimal(p.max_concurrency or 0)) for p in plans]
        agrees = min(shown) <= Decimal(log.max_concurrency) <= max(shown)
        yield LogFigure("max_concurrency", str(shown[0]), log.max_concurrency, agrees)


def _between(name: str, predicted: list[int], actual: int) -> LogFigure:
    agrees = min(predicted) <= actual <= max(predicted)
    return LogFigure(name, str(predicted[0]), str(actual), agrees)


def _two_decimals(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)


def _blocks(log: EngineLog, plan: AllocationPlan) -> Iterator[LogFigure]:
    sizes = tuple(group.block_size for group in plan.groups)
    if log.group_block_sizes:
        yield _equal("group_block_sizes", _listed(sizes), _listed(log.group_block_sizes))
    if log.block_size is not None and (block_size := _attention_block_size(plan)) is not None:
        yield _equal("block_size", str(block_size), str(log.block_size))
    if log.state_padding_percent is not None:
        yield _equal("state_padding_percent", _state_padding(plan), log.state_padding_percent)


def _attention_block_size(plan: AllocationPlan) -> int | None:
    """Before pages of several sizes were made equal; that of the groups that keep most tokens."""
    growing = [g for g in plan.groups if not isinstance(g.keep, Once)]
    several = len({part.cache.entry_tokens for g in growing for part in g.parts}) > 1
    if several:
        return max(group.block_size for group in growing)
    return base_block_size(plan)


def _state_padding(plan: AllocationPlan) -> str:
    """By how much the largest state is padded, in percent."""
    parts = [part for g in plan.groups if isinstance(g.keep, Once) for part in g.parts]
    if not parts:
        return "none"
    largest = max(parts, key=lambda part: entry_bytes(part.cache))
    size = entry_bytes(largest.cache)
    return f"{100 * (largest.page_bytes - size) / size:.2f}"


def _padding(log: EngineLog, plan: AllocationPlan) -> Iterator[LogFigure]:
    """The warnings of phantom layers; compared also where the log has none, but has its groups."""
    buckets: dict[object, list[PlanGroup]] = {}
    for group in plan.groups:
        alike = tuple(part.cache.fields for part in group.parts)
        buckets.setdefault((group.keep, alike, group.block_size), []).append(group)
    predicted = set()
    for groups in buckets.values():
        phantoms = sum(group.padding_layers or 0 for group in groups)
        layers = sum(len(part.layers) for group in groups for part in group.parts)
        if phantoms and not any(group.summed for group in groups):
            predicted.add((phantoms, f"{100 * phantoms / layers:.2f}"))
    if log.padding or (predicted and (log.capacity_tokens or log.group_block_sizes)):
        yield _equal("padding_layers", _warnings(predicted), _warnings(set(log.padding)))


def _warnings(found: set[tuple[int, str]]) -> str:
    return ", ".join(f"{layers} ({percent} %)" for layers, percent in sorted(found)) or "none"


def _equal(name: str, predicted: str, actual: str) -> LogFigure:
    return LogFigure(name, predicted, actual, predicted == actual)


def _listed(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))
