"""What was learnt of the device, the memory and the traffic in, its part of a result out."""

from __future__ import annotations

from kvprof.cpus import node_of
from kvprof.measure.allocation import block_ops_per_s, python_call_seconds
from kvprof.measure.fragmentation import Aged
from kvprof.measure.jobs import Workbench
from kvprof.measure.sampler import Paired
from kvprof.measure.traffic import Traffic
from kvprof.plan import AllocationPlan
from kvprof.profile_result import AllocationResult, CpuFacts, DeviceResult, FragmentationResult


def device_facts(bench: Workbench) -> DeviceResult:
    """The device, its ceilings, and where its threads run."""
    backend, facts = bench.backend, bench.backend.facts
    return DeviceResult(
        name=facts.name,
        backend=facts.backend,
        own_memory=bench.pool.own_memory,
        ceilings=bench.ceilings.bytes_per_s,
        bus_peak_bytes_per_s=facts.bus_peak_bytes_per_s,
        ceiling_variants=bench.ceilings.variants,
        threads=facts.compute_units,
        instruction_set=facts.instruction_set,
        last_level_cache_bytes=facts.last_level_cache_bytes,
        cpus=tuple(
            CpuFacts(cpu, node_of(cpu), pinned)
            for cpu, pinned in zip(backend.cpus, backend.pinned, strict=True)
        ),
        link_ceilings=bench.ceilings.link_bytes_per_s,
    )


def allocation_facts(bench: Workbench, plan: AllocationPlan) -> AllocationResult:
    """The pool, how the system placed it, and what its blocks cost."""
    pool = bench.pool
    return AllocationResult(
        policy=pool.memory.policy,
        huge_page_bytes=pool.placed.huge_page_bytes,
        node_bytes=pool.placed.node_bytes,
        locked=pool.placed.lock_refused is None,
        lock_refused=pool.placed.lock_refused,
        pool_bytes=pool.nbytes,
        ceiling_bytes=pool.ceiling_bytes,
        source_bytes=pool.sources.nbytes,
        host_bytes=pool.host.nbytes,
        blocks=plan.num_blocks or 0,
        seconds=pool.seconds,
        touch_seconds=pool.touch_seconds,
        block_ops_per_s=block_ops_per_s(),
        python_call_seconds=python_call_seconds(),
        policies=pool.policies,
    )


def fragmentation_facts(
    aged: Aged, against_fresh: Paired | None, traffic: Traffic | None
) -> FragmentationResult:
    """The sums after traffic, and what ageing costs in bandwidth."""
    return FragmentationResult(
        bytes=aged.bytes,
        waste=aged.waste,
        pool=aged.pool,
        aged_read_ratio=against_fresh.ratio if against_fresh else None,
        aged_read_noisy=against_fresh.noisy if against_fresh else None,
        requests=aged.requests,
        traffic="synthetic" if traffic is None else traffic.workload.name,
        trace_requests=aged.trace_requests,
    )
