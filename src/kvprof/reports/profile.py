"""Profile results in, the tables of `kvprof profile` out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Literal

from msgspec.structs import replace

from kvprof.document import Document
from kvprof.profile_result import ProfileResult
from kvprof.reports.balance import balance_sheet
from kvprof.reports.grid import grid_sheet, shape_text
from kvprof.reports.orders import orders_sheet
from kvprof.reports.profile_head import allocation_sheets, head_sheet
from kvprof.reports.sheet import Column, Sheet
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
    """Each result in full; several shapes of one placement as a grid; orders side by side."""
    results = [result for result in document.results if isinstance(result, ProfileResult)]
    sheets = [sheet for group in _grouped(results, _placement) for sheet in _group_sheets(group)]
    in_orders = (
        group
        for group in _grouped(results, _but_for_order)
        if len({result.memory_order for result in group}) > 1
    )
    return sheets + [orders_sheet(f"{g[0].model.name}, {shape_text(g[0])}", g) for g in in_orders]


def _grouped(
    results: Sequence[ProfileResult], key: Callable[[ProfileResult], Hashable]
) -> list[list[ProfileResult]]:
    groups: dict[Hashable, list[ProfileResult]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return list(groups.values())


def _placement(result: ProfileResult) -> Hashable:
    """What profiles of different shapes have in common."""
    return result.model, result.engine, result.block_size, result.memory_order


def _but_for_order(result: ProfileResult) -> Hashable:
    return result.model, result.engine, result.block_size, result.lengths


def _group_sheets(group: Sequence[ProfileResult]) -> list[Sheet]:
    first = group[0]
    if len(group) == 1:
        return [
            head_sheet(first),
            *allocation_sheets(first),
            _streams(first),
            _fragmentation(first),
            *_capacity(first),
        ]
    warnings = (f"{shape_text(r)}: {warning}" for r in group for warning in _warnings(r))
    grid = grid_sheet(f"{first.model.name}, engine {first.engine}", group)
    capacity, *_ = _capacity(first)  # of the memory; a balance is of one shape's pools
    return [
        head_sheet(first, shapes=len(group)),
        replace(grid, notes=(*grid.notes, *warnings)),
        replace(capacity, notes=()),
    ]


def _streams(result: ProfileResult) -> Sheet:
    columns = (
        Column("operation", _LEFT),
        Column("cache", _LEFT),
        Column("order", _LEFT),
        Column("tokens"),
        Column("run"),
        Column("bandwidth"),
        Column("of ceiling"),
        Column("by", _LEFT),
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
            stream.variant,
            "noisy" if stream.noisy else "",
        )
        for stream in result.streams
    )
    notes = _warnings(result)
    if not rows:
        return Sheet("Streams: none was measured", notes=notes)
    return Sheet("Streams (measured; each verified against NumPy first)", columns, rows, notes)


def _warnings(result: ProfileResult) -> tuple[str, ...]:
    return tuple(f"warning: {warning}" for warning in result.warnings)


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
        f"{requests['waiting']:,} waiting ({_traffic(found.traffic)})"
    ]
    if shared := found.bytes["shared"]:
        notes.append(f"sharing prefixes saves {format_bytes(shared)}; all who share them read them")
    if whole := found.trace_requests:
        notes.append(
            f"the whole trace: {format_plural(whole.total, 'request')}, {whole.completed:,} "
            f"completed, {whole.preemptions:,} preempted, {whole.rejected:,} rejected"
        )
    if found.aged_read_ratio is not None:
        noisy = ", noisy" if found.aged_read_noisy else ""
        ratio = format_ratio(found.aged_read_ratio)
        notes.append(f"aged tables read at {ratio} of fresh ones' bandwidth{noisy}")
    title = "Fragmentation after traffic: reserved = logical + wastes, capacity = its shares"
    return Sheet(title, columns, tuple(rows), tuple(notes))


def _traffic(name: str) -> str:
    return "seeded chat traffic" if name == "synthetic" else f"{name} at its fullest"


def _part(size: int, whole: int) -> tuple[str, str]:
    return format_bytes(size), format_ratio(size / whole) if whole else "-"


def _capacity(result: ProfileResult) -> list[Sheet]:
    step = result.step
    columns = (Column("context"), Column("sequences that fit"))
    rows = tuple((format_tokens(point.tokens), f"{point.sequences:,}") for point in result.capacity)
    weights = (
        "cache only, weights not counted: give --weights"
        if step.weights_bytes is None
        else f"with {format_bytes(step.weights_bytes)} of weights read at the ceiling"
    )
    notes = (
        f"one decode step of {shape_text(result)} tokens reads "
        f"{format_bytes(step.bytes_read)} "
        f"and writes {format_bytes(step.bytes_written)}: {format_seconds(step.seconds)} of memory "
        f"time, {format_count(step.tokens_per_s)} tokens/s ({weights})",
    )
    memory = format_bytes(result.capacity_memory_bytes)
    sheets = [Sheet(f"Capacity of {memory} (derived)", columns, rows, notes)]
    if result.balance:
        sheets.append(balance_sheet(f"{memory} as {result.engine} divides it", result.balance))
    return sheets
