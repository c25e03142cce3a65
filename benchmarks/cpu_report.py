"""The figures of ``cpu.py`` as Markdown: the goals first, then all that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from report_table import table

from kvprof.units import format_bytes, format_rate, format_seconds, format_tokens

READ_GOALS = {1024: 0.45, 4096: 0.75, 16384: 0.75, 65536: 0.85}


def markdown(figures: dict[str, Any]) -> str:
    """One document."""
    return "\n".join(_lines(figures)) + "\n"


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    yield from _machine(figures)
    for section, about in figures.get("measured", {}).items():
        yield f"- {section}: measured {about['date']} at commit {about['commit'][:12]}"
    yield ""
    yield from _goals(figures)
    if "streams" in figures:
        yield from _ceilings(figures)
        yield from _streams(figures["streams"])
    if "baselines" in figures:
        yield from _small_pages(figures["baselines"]["small_pages"])
    if "grid" in figures:
        yield from _grid(figures["grid"])
    if "orders" in figures:
        yield from _orders(figures["orders"])
    for name, found in figures.get("steady", {}).items():
        yield from _steady(name.replace("_", " "), found)


def _machine(figures: dict[str, Any]) -> Iterator[str]:
    found = figures["machine"]
    caches = ", ".join(f"L{c['level']} {c['type']} {c['size']}" for c in found["caches"])
    yield f"# {found['cpu']}, {found['logical_cpus']} CPUs"
    yield ""
    yield (
        f"Family and model {' / '.join(filter(None, found['cpu_family_model']))}; {caches}; "
        f"{format_bytes(found['memory_bytes'])}, pages of {found['page_bytes']} B, huge pages "
        f"{found['huge_pages']}; Linux {found['kernel']}; {found['compiler']}; Python "
        f"{found['python']}."
    )
    yield ""
    if device := figures.get("device"):
        yield _memory(device)
        yield ""


def _memory(device: dict[str, Any]) -> str:
    memory = device["memory"]
    nodes = (memory["node_bytes"] or {}).items()
    where = ", ".join(f"{format_bytes(size)} on NUMA node {node}" for node, size in nodes)
    cpus = ", ".join(map(str, device["cpus"]))
    return (
        f"Memory of {format_bytes(memory['bytes'])}, "
        f"{format_bytes(memory['huge_page_bytes'] or 0)} of it really in huge pages; {where}; "
        f"threads on CPUs {cpus}, {'all' if all(device['pinned']) else 'not all'} pinned; "
        f"{device['instruction_set']}; first touch "
        f"{format_rate(device['first_touch_bytes_per_s'])}."
    )


def _goals(figures: dict[str, Any]) -> Iterator[str]:
    rows = list(_goal_rows(figures))
    if rows:
        yield "## Goals"
        yield ""
        yield from table(("what", "goal", "measured", "met"), iter(rows))


def _goal_rows(figures: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    baselines = figures.get("baselines")
    if baselines:
        read = baselines["contiguous_read"]
        what = f"contiguous read, of the best of NumPy's sum and loops ({read['best']})"
        yield _goal(what, 0.97, read["against"][read["best"]])
    for row in figures.get("streams", ()):
        shuffled = row["order"] == "shuffled"
        size = format_bytes(row["run_bytes"])
        if row["op"] == "decode_read" and shuffled and row["run_bytes"] in READ_GOALS:
            yield _goal(f"read of {size} pages, of the ceiling", READ_GOALS[row["run_bytes"]], row)
        if row["op"].startswith("state_update") and row["run_bytes"] >= 2**18:
            yield _goal(f"{row['op']}, {size}, of the in-place ceiling", 0.95, row)
    if baselines:
        yield _goal("gather of 16 KiB pages, one thread, of numpy.take", 1.5, baselines["take"])
        for size, row in baselines["memcpy"].items():
            what = f"block_copy of {format_bytes(int(size))} pages, of memcpy"
            yield _goal(what, 1.2, row)


def _goal(what: str, goal: float, found: dict[str, Any]) -> tuple[str, str, str, str]:
    met = "yes" if found["ratio"] >= goal else "**no**"
    return what, f"{goal}", f"{found['ratio']:.3f}", f"{met}{', noisy' if found['noisy'] else ''}"


def _ceilings(figures: dict[str, Any]) -> Iterator[str]:
    yield "## Ceilings, by variant"
    yield ""
    rows = (
        (kind, ", ".join(f"{name} {format_rate(rate)}" for name, rate in variants.items()))
        for kind, variants in figures["ceilings"].items()
    )
    yield from table(("direction", "contiguous over the whole memory"), rows)
    noise = figures["noise"]
    yield f"The read ceiling against itself: {noise['ratio']:.3f} ({noise['samples']} samples)."
    yield ""


def _streams(streams: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Streams"
    yield ""
    rows = (
        (
            row["op"],
            format_bytes(row["run_bytes"]),
            row["order"],
            format_rate(row["bytes_per_s"]),
            f"{row['ratio']:.3f} {row['ceiling']}",
            row["variant"],
            str(row["samples"]),
            str(row["dropped"]),
            "noisy" if row["noisy"] else "",
        )
        for row in streams
    )
    headings = (
        "operation",
        "run",
        "order",
        "bandwidth",
        "of ceiling",
        "by",
        "samples",
        "dropped",
        "",
    )
    yield from table(headings, rows)


def _small_pages(found: dict[str, Any]) -> Iterator[str]:
    given = format_bytes(found["memory"]["huge_page_bytes"] or 0)
    yield "## Scattered reads in pages of 4 KiB, against pages of 2 MiB"
    yield ""
    yield f"Huge pages were refused for the one memory ({given} of them given)."
    yield ""
    rows = (
        (
            format_bytes(int(size)),
            format_rate(row["bytes_per_s"]),
            format_rate(row["against_bytes_per_s"]),
            f"{row['ratio']:.3f}",
            "noisy" if row["noisy"] else "",
        )
        for size, row in found["reads"].items()
    )
    yield from table(("page of the cache", "4 KiB pages", "2 MiB pages", "ratio", ""), rows)


def _grid(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Bandwidth over batch and context"
    yield ""
    orders = ("contiguous", "fresh", "aged", "shuffled")
    headings = ("batch", "read", *orders, "fresh, of ceiling", "step")
    yield from table(
        headings,
        (
            (
                f"{row['sequences']} x {format_tokens(row['tokens'])}",
                format_bytes(row["bytes"]),
                *(_order_rate(row["orders"].get(order)) for order in orders),
                f"{row['orders']['fresh']['ratio_to_ceiling']:.3f}",
                format_seconds(row["step_seconds"]),
            )
            for row in rows
        ),
    )


def _order_rate(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    return f"{'~' if found['noisy'] else ''}{format_rate(found['bytes_per_s'])}"


def _orders(results: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Memory orders"
    yield ""
    names = [f"{r['page_order']} {r['kv']} {r['outer']}" for r in results]
    found = [{(s["op"], s["order"], s["tokens"]): s for s in r["streams"]} for r in results]
    keys = dict.fromkeys(key for streams in found for key in streams)
    rows = (
        (
            key[0],
            key[1],
            format_tokens(key[2]),
            *(_order_cell(streams.get(key)) for streams in found),
        )
        for key in keys
    )
    yield from table(("operation", "order", "tokens", *names), rows)


def _order_cell(stream: dict[str, Any] | None) -> str:
    if stream is None:
        return "-"
    noisy = "~" if stream["noisy"] else ""
    return f"{noisy}{format_rate(stream['bytes_per_s'])} ({format_bytes(stream['run_bytes'])})"


def _steady(name: str, found: dict[str, Any]) -> Iterator[str]:
    yield f"## {found['runs']} profiles {name}"
    yield ""
    right = "every stream" if found["all_right"] else "**not every stream**"
    yield f"{right} is within 5 % of its median ratio wherever it does not say `noisy`."
    yield ""
    rows = (
        (
            row["op"],
            row["order"],
            format_tokens(row["tokens"]),
            ", ".join(
                f"{'~' if n else ''}{r:.3f}"
                for r, n in zip(row["ratios"], row["noisy"], strict=True)
            ),
            f"{100 * row['spread']:.1f} %",
            "-" if row["spread_of_quiet"] is None else f"{100 * row['spread_of_quiet']:.1f} %",
            f"{sum(row['dropped'])} of {sum(row['disturbed'])}",
        )
        for row in found["streams"]
    )
    headings = (
        "operation",
        "order",
        "tokens",
        "ratios (~ noisy)",
        "spread",
        "not noisy",
        "dropped",
    )
    yield from table(headings, rows)
