"""A model, an engine and a pool in, a placement that fills it out, or how much would fit."""

from __future__ import annotations

from msgspec.structs import replace

from kvprof.accounting import cache_groups
from kvprof.errors import DoesNotFitError, UsageError
from kvprof.hookspecs import Engine
from kvprof.layout import All, Clock
from kvprof.measure.pool import Pool
from kvprof.measure.regions import plan_memory
from kvprof.model import Model
from kvprof.plan import AllocationPlan
from kvprof.size import Placement, Request, place
from kvprof.units import format_bytes, format_plural, format_tokens

COMPILED_POLICIES = ("blocks",)
_DEFAULT_TOKENS = (4096, 2048, 1024, 512, 256, 128, 64, 32, 16)
_WANTED_SEQUENCES = 4


def fit(
    model: Model,
    engine: Engine,
    pool: Pool,
    request: Request,
    tokens: int | None,
    sequences: int | None,
) -> tuple[Placement, AllocationPlan, int]:
    """Place the model in the pool for sequences of ``tokens`` tokens; return how many there are.

    Without ``tokens`` the longest of 4k, 2k, ... of which four need no more than twice the pool's
    ``batch_bytes``, else of which one fits; without ``sequences`` enough for ``batch_bytes`` and no
    fewer than four, where they fit.

    Raises
    ------
    UsageError
        When the engine places nothing that can be allocated.
    DoesNotFitError
        When the pool is too small; the message says the most that it could hold.
    """
    candidates = _DEFAULT_TOKENS if tokens is None else (tokens,)
    placed = [_place(model, engine, pool, request, length) for length in candidates]
    fitting = [pair for pair in placed if int(pair[1].concurrency or 0) >= (sequences or 1)]
    if not fitting:
        raise _too_small(placed[-1][1], pool, sequences or 1)
    wanted = sequences or _WANTED_SEQUENCES
    enough_bytes = pool.shares.batch_bytes
    modest = [pair for pair in fitting if wanted * pair[1].peak_bytes <= 2 * enough_bytes]
    placement, plan = (modest or fitting)[0]
    enough = max(wanted, -(-enough_bytes // max(1, plan.peak_bytes)))
    return placement, plan, sequences or min(int(plan.concurrency or 0), enough)


def _place(
    model: Model, engine: Engine, pool: Pool, request: Request, tokens: int
) -> tuple[Placement, AllocationPlan]:
    if tokens < 1:
        raise UsageError("--tokens is 0; there is nothing to stream", hint="Give at least 1.")
    parts = len(cache_groups(model.layout))
    wanted = replace(
        request,
        tokens=tokens,
        max_model_len=tokens,
        memory_bytes=plan_memory(pool.nbytes, parts),
    )
    placement = place(model, engine, wanted)
    plan = placement.plan and compiled_plan(placement.plan)
    if plan is None:
        raise UsageError(_not_compiled(engine, model, placement.plan), hint="Try --engine paged.")
    if any(group.clock is Clock.ENCODER for group in plan.groups):
        raise UsageError(
            f"{model.config.name!r} keeps encoder positions, which a profile cannot stream yet",
            hint="`kvprof size` counts them.",
        )
    return placement, plan


def compiled_plan(plan: AllocationPlan) -> AllocationPlan | None:
    """The plan as the compiled allocator follows it; None when it cannot.

    It keeps a pool for each group and the blocks of the rows that are needed. An engine of shared
    blocks or of slots does the same where all layers keep every entry: one group, one pool, less
    the blocks that no sequence gets.
    """
    if plan.policy in COMPILED_POLICIES:
        return plan
    if len(plan.groups) != 1 or plan.limits.speculative:
        return None
    (group,) = plan.groups
    all_kept = all(
        isinstance(part.cache.keep, All) and part.cache.entry_tokens == 1 for part in group.parts
    )
    if not all_kept or group.clock is not Clock.DECODER:
        return None
    blocks = max(0, (group.num_blocks or 0) - plan.reserved_blocks)
    return replace(
        plan,
        policy="blocks",
        shared=False,
        groups=(replace(group, num_blocks=blocks, holding=None),),
    )


def _not_compiled(engine: Engine, model: Model, plan: AllocationPlan | None) -> str:
    if plan is None:
        return f"the engine {engine.name!r} places nothing that a profile can allocate"
    parts = [part for group in plan.groups for part in group.parts]
    kept = ", ".join(dict.fromkeys(str(part.cache.keep) for part in parts))
    return (
        f"a profile follows the engine {engine.name!r} only where all layers keep every entry, and "
        f"those of {model.config.name!r} keep {kept or 'nothing'}"
    )


def _too_small(plan: AllocationPlan, pool: Pool, sequences: int) -> DoesNotFitError:
    tokens = plan.limits.max_model_len
    need = plan.peak_bytes
    most = int(plan.concurrency or 0)
    if most:
        fits = f"at most {format_plural(most, 'sequence')} of {format_tokens(tokens)} tokens fit"
    else:
        fits = f"no sequence of {format_tokens(tokens)} tokens fits{_longest_that_fits(plan, pool)}"
    return DoesNotFitError(
        f"the pool of {format_bytes(pool.nbytes)} is too small for "
        f"{format_plural(sequences, 'sequence')} of {format_tokens(tokens)} tokens, "
        f"{format_bytes(need * sequences)}: {fits}",
        hint="Give a larger --stream-memory, or fewer --tokens or --sequences.",
    )


def _longest_that_fits(plan: AllocationPlan, pool: Pool) -> str:
    """The longest sequence that the pool's bytes hold, by bisection; nothing when none does."""
    shortest, longest = 0, plan.limits.max_model_len
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        if plan.reserved_bytes(middle, plan.limits.encoder_tokens) <= pool.nbytes:
            shortest = middle
        else:
            longest = middle - 1
    return f"; {format_tokens(shortest)} tokens would" if shortest else ", not even of one token"
