"""Profiles of one shape in several memory orders in, the same streams side by side out."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.profile_result import OrderFacts, ProfileResult, StreamFacts
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import format_bytes, format_rate, format_tokens


def order_text(order: OrderFacts) -> str:
    """``hnd, K and V apart, blocks outermost``."""
    together = "K and V packed" if order.kv == "packed" else "K and V apart"
    return f"{order.page_order}, {together}, {order.outer}s outermost"


def orders_sheet(of: str, results: Sequence[ProfileResult]) -> Sheet:
    """One row for each stream; the bandwidth, and the length of a run, in each memory order."""
    orders = [result.memory_order for result in results]
    columns = (
        Column("operation", "left"),
        Column("cache", "left"),
        Column("order", "left"),
        Column("tokens"),
        *(Column(f"{o.page_order} {o.kv} {o.outer}") for o in orders),
    )
    found = [{_key(stream): stream for stream in result.streams} for result in results]
    keys = dict.fromkeys(key for streams in found for key in streams)
    rows = tuple(
        (
            *key[:3],
            f"{key[3]:,} x {format_tokens(key[4])}",
            *(_cell(streams.get(key)) for streams in found),
        )
        for key in keys
    )
    notes = ("bandwidth (neighbouring bytes); ~ marks what is noisy",)
    return Sheet(f"Memory orders side by side: {of}", columns, rows, notes)


def _key(stream: StreamFacts) -> tuple[str, str, str, int, int]:
    return stream.op, stream.cache, stream.order, stream.sequences, stream.tokens


def _cell(stream: StreamFacts | None) -> str:
    if stream is None:
        return "-"
    noisy = "~" if stream.noisy else ""
    return f"{noisy}{format_rate(stream.bytes_per_s)} ({format_bytes(stream.run_bytes)})"
