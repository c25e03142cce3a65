"""Profile results in, the tables of `kvprof profile` out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kvprof.document import Document
from kvprof.reports.sheet import Column, Sheet
from kvprof.result import AllocationResult, ProfileResult
from kvprof.units import (
    format_bytes,
    format_count,
    format_plural,
    format_rate,
    format_ratio,
    format_seconds,
    format_tokens,
)

_LEFT: Literal["left"] = "left"


def profile_sheets(document: Document) -> Sequence[Sheet]:
    """For each result: what was profiled, its streams, its fragmentation, its capacity."""
    results = [result for result in document.results if isinstance(result, ProfileResult)]
    return [sheet for result in results for sheet in _result_sheets(result)]


def _result_sheets(result: ProfileResult) -> list[Sheet]:
    return [_head(result), _streams(result), _fragmentation(result), _capacity(result)]


def _head(result: ProfileResult) -> Sheet:
    model, sizes, device, pool = result.model, result.bytes, result.device, result.allocation
    kept = [f"{format_bytes(sizes.per_token)} per token in {result.cache_dtype}"]
    kept = kept if sizes.per_token else []
    kept += [f"windows of {format_bytes(sizes.window)}"] if sizes.window else []
    kept += _state(result)
    ceilings = ", ".join(f"{kind} {format_rate(rate)}" for kind, rate in device.ceilings.items())
    inferred = ", inferred from its fields" if model.inferred else ""
    block = f", blocks of {result.block_size} tokens" if result.block_size else ""
    rows = (
        ("model", f"{model.name}: {model.architecture}; {', '.join(kept)}"),
        ("read by", f"{model.plugin}{inferred}"),
        (
            "workload",
            f"{format_plural(result.sequences, 'sequence')} of {format_tokens(result.tokens)} "
            f"tokens, engine {result.engine}{block}",
        ),
        ("device", f"{device.name}, {device.threads} threads, {device.instruction_set}"),
        ("ceilings", f"{ceilings} (contiguous, same memory, same run)"),
        (
            "pool",
            f"{format_bytes(pool.pool_bytes)} in {pool.blocks:,} blocks and "
            f"{format_bytes(pool.ceiling_bytes)} for ceilings, touched in "
            f"{format_seconds(pool.touch_seconds)}, {_huge_pages(pool)}",
        ),
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


def _huge_pages(pool: AllocationResult) -> str:
    if pool.huge_page_bytes is None:
        return f"{pool.policy} asked for (the system does not say what it gave)"
    part = pool.huge_page_bytes / (pool.pool_bytes + pool.ceiling_bytes)
    return f"{format_ratio(min(part, 1.0))} in huge pages"


def _streams(result: ProfileResult) -> Sheet:
    columns = (
        Column("operation", _LEFT),
        Column("cache", _LEFT),
        Column("order", _LEFT),
        Column("tokens"),
        Column("run"),
        Column("bandwidth"),
        Column("of ceiling"),
        Column("", _LEFT),
    )
    rows = tuple(
        (
            stream.op,
            stream.cache,
            stream.order,
            f"{stream.sequences:,} x {format_tokens(stream.tokens)}",
            format_bytes(stream.run_bytes),
            format_rate(stream.bytes_per_s),
            f"{format_ratio(stream.ratio_to_ceiling)} {stream.ceiling}",
            "noisy" if stream.noisy else "",
        )
        for stream in result.streams
    )
    notes = tuple(f"warning: {warning}" for warning in result.warnings)
    if not rows:
        return Sheet("Streams: none was measured within --time-budget", notes=notes)
    return Sheet("Streams (measured; each verified against NumPy first)", columns, rows, notes)


def _fragmentation(result: ProfileResult) -> Sheet:
    found = result.fragmentation
    pool, reserved = found.pool, found.bytes["reserved"]
    columns = (Column("of", _LEFT), Column("share", _LEFT), Column("bytes"), Column("part"))
    rows = [("requests", "logical", *_part(found.bytes["logical"], reserved))]
    rows += [
        ("requests", name, *_part(size, reserved)) for name, size in found.waste.items() if size
    ]
    rows += [
        ("pool", name, *_part(size, pool["capacity"]))
        for name, size in pool.items()
        if size and name != "capacity"
    ]
    requests = found.requests
    notes = [
        f"{format_plural(requests['live'], 'live sequence')} after "
        f"{requests['completed']:,} completed, "
        f"{requests['preemptions']:,} preempted, {requests['rejected']:,} rejected, "
        f"{requests['waiting']:,} waiting (seeded chat traffic)"
    ]
    if found.aged_read_ratio is not None:
        noisy = ", noisy" if found.aged_read_noisy else ""
        ratio = format_ratio(found.aged_read_ratio)
        notes.append(f"aged tables read at {ratio} of fresh ones' bandwidth{noisy}")
    title = "Fragmentation after traffic: reserved = logical + wastes, capacity = its shares"
    return Sheet(title, columns, tuple(rows), tuple(notes))


def _part(size: int, whole: int) -> tuple[str, str]:
    return format_bytes(size), format_ratio(size / whole) if whole else "-"


def _capacity(result: ProfileResult) -> Sheet:
    step = result.step
    columns = (Column("context"), Column("sequences that fit"))
    rows = tuple((format_tokens(point.tokens), f"{point.sequences:,}") for point in result.capacity)
    weights = (
        "cache only, weights not counted: give --weights"
        if step.weights_bytes is None
        else f"with {format_bytes(step.weights_bytes)} of weights read at the ceiling"
    )
    notes = (
        f"one decode step of {format_plural(result.sequences, 'sequence')} reads "
        f"{format_bytes(step.bytes_read)} "
        f"and writes {format_bytes(step.bytes_written)}: {format_seconds(step.seconds)} of memory "
        f"time, {format_count(step.tokens_per_s)} tokens/s ({weights})",
    )
    title = f"Capacity of {format_bytes(result.capacity_memory_bytes)} (derived)"
    return Sheet(title, columns, rows, notes)
