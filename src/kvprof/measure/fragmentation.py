"""Traffic replayed through a plan's pools; its block tables, and where every byte stands, out."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof._core import Replay
from kvprof.allocation import Blocks
from kvprof.errors import KvprofError
from kvprof.measure.block_tables import Tables
from kvprof.measure.traffic import Traffic, chat
from kvprof.plan import POOL_SHARES, REQUEST_WASTES, AllocationPlan
from kvprof.replay.outcome import requests_of
from kvprof.replay.run import replay_loop, run_requests
from kvprof.replay_result import ReplayRequests
from kvprof.size import Placement


class Aged(Struct, frozen=True):
    """The pools as traffic left them.

    Attributes
    ----------
    tables
        Of the sequences that are live.
    order
        Of each group: the ids of its pool as they are handed out once those have ended.
    bytes, waste, pool
        The sums at that instant.
    requests
        What had become of the requests by then.
    trace_requests
        What becomes of a trace's requests in the end; None where no trace was replayed.
    """

    tables: Tables
    order: tuple[NDArray[np.uint32], ...]
    bytes: dict[str, int]
    waste: dict[str, int]
    pool: dict[str, int]
    requests: dict[str, int]
    trace_requests: ReplayRequests | None


def age(
    placement: Placement,
    plan: AllocationPlan,
    pool_bytes: int,
    seed: int,
    traffic: Traffic | None = None,
) -> Aged:
    """Replay traffic through the pools of a plan, by default chat that is drawn.

    What is left behind is that of the instant at which the traffic is to be looked at, of several
    that are equally full the first.

    Parameters
    ----------
    plan
        The placement's plan with pools, as the compiled policy follows it.
    pool_bytes
        The whole pool; what its blocks do not divide is the remainder.

    Raises
    ------
    UsageError
        When prefixes are to be cached and cannot.
    TraceError
        When requests do not ascend in time.
    """
    pools = _Pools(placement, plan, pool_bytes)
    comes = traffic or chat(plan, seed)
    if comes.until_completed is not None:
        return _left_behind(pools, pools.run(comes), comes, None)
    # The same requests do the same: once to find the instant, and once up to it.
    whole = pools.run(comes)
    loop = pools.run(comes, until_tick=whole.fullest["tick"])
    _must_hold("the fullest instant, found again", whole.fullest["tick"], loop.now["tick"])
    return _left_behind(pools, loop, comes, requests_of(whole.counts, comes.skipped_rows))


class _Pools(Struct, frozen=True):
    """A memory that traffic can be replayed through any number of times."""

    placement: Placement
    plan: AllocationPlan
    pool_bytes: int

    @property
    def null_bytes(self) -> int:
        """Of blocks that no sequence gets, which the plan's pools are without."""
        return self.plan.reserved_blocks * self.plan.bytes_per_block

    def run(self, traffic: Traffic, until_tick: int | None = None) -> Replay:
        """The loop where it has stopped."""
        loop = replay_loop(
            self.placement,
            Blocks(self.plan),
            traffic.workload,
            traffic.pace,
            self.plan.limits,
            capacity_bytes=self.pool_bytes - self.null_bytes,
            until_tick=until_tick,
            until_completed=traffic.until_completed,
        )
        hashed = traffic.pace.prefix_cache
        run_requests(loop, traffic.workload, hashed=hashed, progress=lambda part: None)
        return loop


def _left_behind(
    pools: _Pools, loop: Replay, traffic: Traffic, trace_requests: ReplayRequests | None
) -> Aged:
    now, plan = loop.now, pools.plan
    waste = {name: now[name] for name in REQUEST_WASTES}
    shares = {name: now[f"pool_{name}"] for name in POOL_SHARES}
    shares["reserved_blocks"] += pools.null_bytes
    sums = {name: now[name] for name in ("logical", "pool_reserved", "shared_bytes")}
    _must_hold(
        "reserved = logical + wastes", sums["pool_reserved"], sums["logical"] + sum(waste.values())
    )
    _must_hold("capacity = the sum of its shares", pools.pool_bytes, sum(shares.values()))
    tables = _tables(plan, loop)
    requests = _at_that_instant(loop, traffic)
    loop.release_all()
    return Aged(
        tables=tables,
        order=tuple(loop.take_all(index) for index in range(len(plan.groups))),
        bytes={
            "logical": sums["logical"],
            "reserved": sums["pool_reserved"],
            "shared": sums["shared_bytes"],
        },
        waste=waste,
        pool={"capacity": pools.pool_bytes, **shares},
        requests=requests,
        trace_requests=trace_requests,
    )


def _tables(plan: AllocationPlan, loop: Replay) -> Tables:
    tables = Tables(
        tuple(loop.live_tokens.tolist()),
        plan.limits.encoder_tokens,
        tuple(tuple(loop.block_tables(index)) for index in range(len(plan.groups))),
    )
    for group, ids in zip(plan.groups, tables.ids, strict=True):
        for tokens, held in zip(tables.tokens, ids, strict=True):
            blocks = group.blocks(tokens, tables.encoder_tokens)
            _must_hold("blocks held = the plan's", len(held), len(blocks))
    return tables


def _at_that_instant(loop: Replay, traffic: Traffic) -> dict[str, int]:
    counts, now = loop.counts, loop.now
    live, gone = now["live_sequences"], counts["completed"] + counts["rejected"]
    first, arrived = _arrivals(traffic, now["tick"])
    return {
        "arrived": arrived,
        "live": live,
        "completed": counts["completed"],
        "rejected": counts["rejected"],
        "preemptions": counts["preemptions"],
        "waiting": arrived - live - gone,
        "steps": now["tick"] - first + 1,
    }


def _arrivals(traffic: Traffic, tick: int) -> tuple[int, int]:
    """The tick of the first request, and how many had arrived by ``tick``.

    Those that wait behind the first are in the trace and not in the loop, so they are counted here.
    """
    first, arrived = tick, 0
    for batch in traffic.workload.batches():
        ticks = np.ceil(batch.arrival_s * traffic.pace.ticks_per_s)
        if not arrived and len(batch):
            first = min(first, int(ticks[0]))
        arrived += int(np.searchsorted(ticks, tick, side="right"))
        if len(batch) and ticks[-1] > tick:
            break
    return first, arrived


def _must_hold(what: str, left: int, right: int) -> None:
    if left != right:
        raise KvprofError(f"the sum {what!r} does not hold: {left} is not {right}")
