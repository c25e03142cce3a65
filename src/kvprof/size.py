"""A model, an engine and a point of the axes in, a `SizeResult` out; no memory is touched."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from kvprof.accounting import (
    CacheGroup,
    bytes_per_token,
    cache_groups,
    field_bytes,
    fixed_bytes,
    group_bytes,
    growing_per_token,
    logical_bytes,
    per_token,
    window_bytes,
)
from kvprof.allocated import allocated_wastes
from kvprof.allocation import Allocation
from kvprof.balance import CONTEXTS, balance_points
from kvprof.binding import bind, choose_dtypes
from kvprof.dtypes import Dtypes
from kvprof.engine_options import Chosen, chosen_options
from kvprof.hookspecs import Engine
from kvprof.layout import Bound, CacheLayout, Clock
from kvprof.model import Model
from kvprof.page_order import PageOrder
from kvprof.plan import REQUEST_WASTES, AllocationPlan, Limits
from kvprof.reasons import plan_reasons
from kvprof.registry import call_plugin, registry
from kvprof.result import (
    BalancePoint,
    CacheFacts,
    ModelFacts,
    PlanFacts,
    PlanGroupFacts,
    SizeBytes,
    SizeResult,
    TensorFacts,
    number,
)
from kvprof.tensor_parallel import rank_layout


class Request(Struct, frozen=True, kw_only=True):
    """One point of the axes, apart from the model and the engine.

    ``lengths`` are ``(sequences, tokens)`` of a batch of mixed lengths; without them it is
    ``sequences`` of ``tokens`` each. The layout is one rank's of ``tensor_parallel``, with the
    model's draft layers when it speculates. ``engine_options`` are settings of engines.
    """

    tokens: int
    sequences: int = 1
    encoder_tokens: int = 0
    block_size: int | None = None
    memory_bytes: int | None = None
    max_model_len: int | None = None
    cache_dtype: str = "auto"
    state_dtype: str = "auto"
    order: PageOrder = PageOrder()
    max_batched_tokens: int | None = None
    speculative: int = 0
    tensor_parallel: int = 1
    lengths: tuple[tuple[int, int], ...] = ()
    engine_options: Chosen = ()

    @property
    def batch(self) -> tuple[tuple[int, int], ...]:
        """``(sequences, tokens)`` of all that is asked for."""
        return self.lengths or ((self.sequences, self.tokens),)

    @property
    def limits(self) -> Limits:
        return Limits(
            max_model_len=self.max_model_len or self.tokens,
            encoder_tokens=self.encoder_tokens,
            memory_bytes=self.memory_bytes,
            block_size=self.block_size,
            order=self.order,
            max_batched_tokens=self.max_batched_tokens,
            speculative=self.speculative,
            tensor_parallel=self.tensor_parallel,
        )


class Placement(Struct, frozen=True):
    """A model in chosen dtypes, placed by an engine: in blocks of its plan, or as it names it."""

    model: Model
    dtypes: Dtypes
    layout: CacheLayout
    kept: CacheLayout
    plan: AllocationPlan | None
    allocation: Allocation | None = None


def place(model: Model, engine: Engine, request: Request) -> Placement:
    """Bind the dtypes and let the engine plan.

    ``layout`` is what the architecture needs, ``kept`` what the engine keeps by its convention.

    Raises
    ------
    UsageError
        When a dtype does not fit the model, or the engine refuses the limits.
    PluginError
        When the engine fails, or gives no plan.
    """
    dtypes = choose_dtypes(
        request.cache_dtype,
        request.state_dtype,
        config_dtype=model.config.dtype,
        config_state_dtype=model.config.state_dtype,
        source=model.config.source,
    )
    layout = bind(_shared_out(model, request), dtypes)
    bound = Bound(
        model.config, dtypes, request.cache_dtype != "auto", request.state_dtype != "auto"
    )
    layout = replace(layout, bound=bound)
    kept = call_plugin(_origin(engine), CacheLayout, engine.convention, layout)
    limits = replace(request.limits, options=chosen_options(engine, request.engine_options))
    plan = call_plugin(_origin(engine), AllocationPlan | None, engine.plan, kept, limits)
    named = getattr(engine, "allocation", None)
    allocation = named and call_plugin(_origin(engine), Allocation, named, kept, limits)
    return Placement(model, dtypes, layout, kept, plan, allocation)


def _shared_out(model: Model, request: Request) -> CacheLayout:
    """What one rank keeps, the draft layers among the others when it speculates."""
    layout = rank_layout(model.layout, request.tensor_parallel)
    drafts = layout.draft if request.speculative else ()
    return replace(layout, layers=layout.layers + drafts, draft=())


def _origin(engine: Engine) -> str:
    offered = registry().engines.get(engine.name)
    return str(offered.origin) if offered else f"of the engine {engine.name!r}"


def size_model(model: Model, engine: Engine, request: Request) -> SizeResult:
    """What the model needs and what the engine reserves. Raises as `place` does."""
    return size_placement(place(model, engine, request), engine.name, request)


def size_placement(placement: Placement, engine: str, request: Request) -> SizeResult:
    """The result for a placement that was made before."""
    plan = placement.plan
    needed = cache_groups(placement.layout)
    logical = reserved = 0
    waste = dict.fromkeys(REQUEST_WASTES, 0)
    for sequences, tokens in request.batch:
        held = _Held.of(placement, needed, tokens, request)
        logical += held.logical * sequences
        reserved += held.reserved * sequences
        for name, size in held.waste.items():
            waste[name] += size * sequences
    return SizeResult(
        model=model_facts(placement.model),
        engine=engine,
        cache_dtype=placement.dtypes.cache,
        state_dtype=placement.dtypes.state,
        tokens=request.tokens,
        encoder_tokens=request.encoder_tokens,
        sequences=request.sequences,
        block_size=base_block_size(plan) if plan else None,
        tensor_parallel=request.tensor_parallel,
        bytes=SizeBytes(
            logical=logical,
            reserved=reserved,
            per_token=number(per_token(needed)),
            growing_per_token=number(growing_per_token(needed)),
            window=window_bytes(needed),
            fixed_per_sequence=fixed_bytes(needed),
        ),
        waste=waste,
        caches=tuple(_cache_facts(group, request) for group in needed),
        plan=plan_facts(plan) if plan else None,
        balance=_balance(plan, request) if plan else (),
        reasons=plan_reasons(plan) if plan else (),
        fits_one=plan.fits_one if plan else None,
        speculative=request.speculative,
        engine_options={
            name: value for owner, name, value in request.engine_options if owner == engine
        },
    )


class _Held(Struct, frozen=True):
    """What one sequence takes."""

    logical: int
    reserved: int
    waste: dict[str, int]

    @classmethod
    def of(
        cls, placement: Placement, needed: Sequence[CacheGroup], tokens: int, request: Request
    ) -> _Held:
        encoder_tokens = request.encoder_tokens
        logical = logical_bytes(needed, tokens, encoder_tokens)
        wastes = allocated_wastes(
            placement.allocation, placement.kept, logical, tokens, request.limits
        )
        if wastes is not None:
            return cls(logical, logical + sum(wastes.values()), wastes)
        if placement.plan is None:
            reserved = logical_bytes(cache_groups(placement.kept), tokens, encoder_tokens)
            return cls(logical, reserved, {"convention": reserved - logical})
        reserved = placement.plan.reserved_bytes(tokens, encoder_tokens)
        return cls(logical, reserved, placement.plan.wastes(logical, tokens, encoder_tokens))


def _balance(plan: AllocationPlan, request: Request) -> tuple[BalancePoint, ...]:
    """At the usual contexts and the one asked for, and for as many sequences as are asked for."""
    contexts = sorted({*CONTEXTS, request.tokens} - {0})
    concurrency = (request.sequences,) if request.sequences > 1 else ()
    return balance_points(plan, contexts, concurrency)


def base_block_size(plan: AllocationPlan) -> int | None:
    """The base block size of the plan: the smallest of a group that grows by tokens."""
    sizes = [g.block_size for g in plan.groups if g.clock is not Clock.SEQUENCE]
    return min(sizes, default=None)


def model_facts(model: Model) -> ModelFacts:
    """What a result says of its model."""
    config = model.config
    return ModelFacts(
        config.name,
        config.source,
        config.model_type,
        model.architecture,
        model.plugin,
        model.inferred,
        model.inferred_from,
    )


def _cache_facts(group: CacheGroup, request: Request) -> CacheFacts:
    cache = group.cache
    return CacheFacts(
        name=cache.key,
        keep=str(cache.keep),
        layers=group.layers,
        entry_tokens=cache.entry_tokens,
        tensors=tuple(
            TensorFacts(field.name, field.shape, field.dtype, field_bytes(field))
            for field in cache.fields
        ),
        bytes_per_token=number(bytes_per_token(group)),
        bytes=group_bytes(group, request.tokens, request.encoder_tokens),
    )


def plan_facts(plan: AllocationPlan) -> PlanFacts:
    """What a result says of its plan: the most that a sequence of that length ever holds."""
    return PlanFacts(
        groups=tuple(
            PlanGroupFacts(
                keep=str(group.keep),
                layers=group.layers,
                padding_layers=group.padding_layers,
                block_size=group.block_size,
                page_bytes=group.page_bytes,
                blocks_per_sequence=blocks,
            )
            for group, blocks in plan.peak_blocks().items()
        ),
        bytes_per_block=plan.bytes_per_block,
        num_blocks=plan.num_blocks,
        blocks_per_sequence=sum(plan.peak_blocks().values()),
        bytes_per_sequence=plan.peak_bytes,
        max_concurrency=plan.max_concurrency,
        capacity_tokens=plan.capacity_tokens,
    )
