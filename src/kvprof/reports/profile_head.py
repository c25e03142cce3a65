"""A profile result in, the rows that say what was measured, and where, out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from kvprof.profile_result import AllocationResult, DeviceResult, ProfileResult
from kvprof.reports.grid import shape_text
from kvprof.reports.orders import order_text
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import (
    format_bytes,
    format_plural,
    format_rate,
    format_ratio,
    format_seconds,
)

_LEFT: Literal["left"] = "left"


def head_sheet(result: ProfileResult, shapes: int = 1) -> Sheet:
    """The model, the workload, and the device with its memory, one row each."""
    model, sizes, device, pool = result.model, result.bytes, result.device, result.allocation
    kept = [f"{format_bytes(sizes.per_token)} per token in {result.cache_dtype}"]
    kept = kept if sizes.per_token else []
    kept += [f"windows of {format_bytes(sizes.window)}"] if sizes.window else []
    kept += _state(result)
    ceilings = ", ".join(f"{kind} {format_rate(rate)}" for kind, rate in device.ceilings.items())
    inferred = ", inferred from its fields" if model.inferred else ""
    block = f", blocks of {result.block_size} tokens" if result.block_size else ""
    links = ", ".join(f"{kind} {format_rate(rate)}" for kind, rate in device.link_ceilings.items())
    rows = (
        ("model", f"{model.name}: {model.architecture}; {', '.join(kept)}"),
        ("read by", f"{model.plugin}{inferred}"),
        (
            "workload",
            f"{f'{shapes} shapes' if shapes > 1 else f'{shape_text(result)} tokens'}, "
            f"engine {result.engine}{block}, "
            f"{order_text(result.memory_order)}",
        ),
        ("device", f"{device.name}, {device.instruction_set}"),
        _units(device),
        ("ceilings", f"{ceilings} (contiguous, same memory, same run)"),
        *_bus(device),
        *([("link", f"{links} (one copy of pinned memory)")] if links else []),
        (
            "pool",
            f"{format_bytes(pool.pool_bytes)} in {pool.blocks:,} blocks and "
            f"{format_bytes(pool.ceiling_bytes)} for ceilings, touched in "
            f"{format_seconds(pool.touch_seconds)}",
        ),
        ("pages", ", ".join(_pages(device, pool))),
        (
            "allocator",
            f"{format_seconds(1 / pool.block_ops_per_s)} per block allocated or freed in C++, "
            f"{format_seconds(pool.python_call_seconds)} per Python call of 16 blocks",
        ),
    )
    columns = (Column("", _LEFT), Column("", _LEFT, wraps=True))
    return Sheet(f"kvprof profile: {model.name} on {device.backend}", columns, rows)


def _state(result: ProfileResult) -> list[str]:
    fixed = result.bytes.fixed_per_sequence
    return [f"state of {format_bytes(fixed)}, {result.state_dtype}"] if fixed else []


def _units(device: DeviceResult) -> tuple[str, str]:
    """Each thread's CPU, and the NUMA nodes of them all; or what a device has in their place."""
    if not device.cpus:
        return "units", format_plural(device.threads, "multiprocessor")
    cpus = ", ".join(str(one.cpu) for one in device.cpus)
    nodes = sorted({one.node for one in device.cpus if one.node is not None})
    where = f" of NUMA node {', '.join(map(str, nodes))}" if nodes else ""
    loose = sum(not one.pinned for one in device.cpus)
    pinned = f"; {loose} not pinned, the system refused" if loose else ", pinned"
    return "threads", f"{format_plural(device.threads, 'thread')} on CPU {cpus}{where}{pinned}"


def _bus(device: DeviceResult) -> Iterator[tuple[str, str]]:
    """The peak that the device's attributes promise, beside what was measured."""
    if (peak := device.bus_peak_bytes_per_s) is not None:
        part = format_ratio(device.ceilings["read"] / peak)
        yield "bus", f"{format_rate(peak)} (2 x memory clock x width); reads reach {part} of it"


def _pages(device: DeviceResult, pool: AllocationResult) -> Iterator[str]:
    """What the system really gave: huge pages, nodes, locks."""
    if device.own_memory:
        yield f"the device's, allocated by {pool.policy}"
        yield f"{format_bytes(pool.host_bytes)} of the host pinned to swap with"
        return
    asked = "asked for" if pool.policy == "huge_pages" else "not asked for"
    if pool.huge_page_bytes is None:
        yield f"huge pages {asked} (the system does not say what it gave)"
    else:
        part = pool.huge_page_bytes / (pool.pool_bytes + pool.ceiling_bytes)
        yield f"huge pages {asked}, {format_ratio(min(part, 1.0))} in huge pages"
    for node, size in (pool.node_bytes or {}).items():
        yield f"{format_bytes(size)} on NUMA node {node}"
    yield "locked" if pool.locked else f"not locked ({pool.lock_refused})"


def allocation_sheets(result: ProfileResult) -> list[Sheet]:
    """What an allocation by each policy costs, of a device with memory of its own."""
    costs = result.allocation.policies
    if not result.device.own_memory or not costs:
        return []
    columns = (
        Column("policy", _LEFT),
        Column("asked"),
        Column("held"),
        Column("per allocation"),
        Column("per free"),
    )
    rows = tuple(
        (
            cost.policy,
            format_bytes(cost.asked_bytes),
            format_bytes(cost.held_bytes),
            format_seconds(cost.allocate_seconds),
            format_seconds(cost.free_seconds),
        )
        for cost in costs
    )
    size = format_bytes(costs[0].allocation_bytes)
    return [Sheet(f"Allocations of {size} by each policy (measured)", columns, rows)]
