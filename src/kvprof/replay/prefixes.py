"""A workload, and an engine's plan, in; which prefixes a replay can find again, out."""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING

from kvprof.errors import UsageError
from kvprof.layout import Clock, Once, Tail
from kvprof.paging import DEFAULT_BLOCK_SIZE
from kvprof.plan import AllocationPlan, PlanGroup

if TYPE_CHECKING:
    from kvprof.replay.pace import Pace
    from kvprof.workload.batch import Workload


def hashed_tokens(workload: Workload, pace: Pace) -> int:
    """Tokens of a prefix hash, where prefixes are cached; else 0.

    Raises
    ------
    UsageError
        When they are to be, and the workload has no hashes.
    """
    if not pace.prefix_cache:
        return 0
    if workload.block_tokens is None:
        raise UsageError(
            f"--prefix-cache on: {workload.name} has no prefix hashes",
            hint="Leave --prefix-cache out, or take a trace that has them.",
        )
    return workload.block_tokens


def prefix_step_of(plan: AllocationPlan) -> int:
    """Tokens of which a prefix that is found again is a multiple: what all groups can share.

    vLLM kv_cache_utils.py, resolve_kv_cache_block_sizes; SGLang runtime_context.py,
    mamba_checkpoint_grid.

    Raises
    ------
    UsageError
        When the engine caches no prefixes of the model.
    """
    if any(group.clock is Clock.ENCODER for group in plan.groups):
        raise UsageError(
            "--prefix-cache on: encoder positions are another's in every request, and no engine "
            "finds them again",
            hint="Leave --prefix-cache out.",
        )
    steps = []
    for group in plan.groups:
        match group.keep:
            case Once():
                steps.append(checkpoint_tokens(group))
            case Tail(n):
                steps.append(n * group.entry_tokens)
            case _:
                steps.append(group.block_size)
    if any(step is None for step in steps):
        raise UsageError(
            "--prefix-cache on: the engine keeps no states for prompts that share a beginning, as "
            "it is set",
            hint="Leave --prefix-cache out, or the engine's option that switches it off.",
        )
    if all(_keeps_states_anywhere(group) for group in plan.groups):
        return plan.limits.block_size or DEFAULT_BLOCK_SIZE
    return lcm(*(step for step in steps if step))


def checkpoint_tokens(group: PlanGroup) -> int | None:
    """At multiples of how many tokens a group of states keeps them; 0: of others."""
    if not isinstance(group.keep, Once):
        return 0
    return 1 if group.holding is None else group.holding.checkpoint_tokens


def _keeps_states_anywhere(group: PlanGroup) -> bool:
    """Without an engine's rule states are kept wherever all other groups can share."""
    return isinstance(group.keep, Once) and group.holding is None
