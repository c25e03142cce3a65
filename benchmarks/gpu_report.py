"""The figures of ``gpu.py`` as Markdown: the goals first, then all that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpu_goals import goals
from gpu_grid_report import grid_tables
from report_table import table

from kvprof.measure.ceilings import LINK_KINDS
from kvprof.units import format_bytes, format_rate, format_seconds, format_tokens


def markdown(figures: dict[str, Any]) -> str:
    """One document."""
    return "\n".join(_lines(figures)) + "\n"


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    yield from _device(figures)
    yield from _measured(figures)
    if rows := list(goals(figures)):
        yield from _section("Goals")
        yield from table(("what", "goal", "measured", "met"), rows)
    if "ceilings" in figures:
        yield from _ceilings(figures)
    for name, title in (("reads", "Reads"), ("updates", "Updates"), ("append", "Appends")):
        yield from _streams(title, figures.get(name, ()))
    yield from _streams("Sparse reads", figures.get("sparse", ()))
    copies = figures.get("copies", ())
    yield from _streams("Zeros and copies", [row for row in copies if row["op"] != "gather"])
    yield from _gathers([row for row in copies if row["op"] == "gather"])
    yield from _swaps(figures.get("swaps", ()))
    yield from _spans(figures.get("span", ()))
    yield from _allocations(figures.get("allocation", ()))
    yield from grid_tables(figures.get("grid", ()))
    yield from _profiles(figures.get("profiles"))


def _section(title: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""


def _device(figures: dict[str, Any]) -> Iterator[str]:
    device, host = figures["device"], figures["machine"]
    toolkit, smi = device["toolkit"], device["nvidia_smi"]
    yield f"# {device['name']}"
    yield ""
    if device["emulated"]:
        yield "**An emulated device, for tests: no figure here is one of a GPU.**"
        yield ""
    peak = device["bus_peak_bytes_per_s"]
    yield (
        f"{device['compute_units']} multiprocessors, {device['instruction_set']}, "
        f"{format_bytes(device['memory_bytes'])} of memory "
        f"({format_bytes(device['available_bytes'])} free), "
        f"{format_bytes(device['last_level_cache_bytes'])} L2; bus peak "
        f"{format_rate(peak) if peak else 'not known'}. Driver "
        f"{smi.get('driver_version', 'not known')}, serves CUDA {toolkit['driver_serves']}; built "
        f"with CUDA {toolkit['runtime']}, nvcc {toolkit['nvcc']}; "
        f"cupy {device['cupy'] or 'not installed'}."
    )
    yield ""
    if smi:
        yield f"nvidia-smi: {', '.join(f'{name} {value}' for name, value in smi.items())}."
        yield ""
    yield f"Host: {host['cpu']}, Linux {host['kernel']}, {host['compiler']}."
    yield ""


def _measured(figures: dict[str, Any]) -> Iterator[str]:
    for name, about in figures.get("measured", {}).items():
        small = "" if about["scale"] == 1 else f", **sizes x {about['scale']:g}: nothing counts**"
        yield (
            f"- {name}: {about['date']} at commit {(about['commit'] or 'not known')[:12]}, "
            f"{about['seconds']:.0f} s{small}"
        )
    for name, why in figures.get("failed", {}).items():
        yield f"- {name}: **failed**: {why}"
    yield ""


def _ceilings(figures: dict[str, Any]) -> Iterator[str]:
    yield from _section("Ceilings")
    device = figures["device"]
    tops = {
        "bus peak": device["bus_peak_bytes_per_s"],
        "datasheet": device["datasheet_bytes_per_s"],
    }
    if device["datasheet"]:
        yield f"Datasheet: {format_rate(tops['datasheet'])} ({device['datasheet']})."
        yield ""
    rows = (
        (
            policy,
            kind,
            format_bytes(found["bytes"][kind]),
            *(_of(top, rates) if kind not in LINK_KINDS else "-" for top in tops.values()),
            ", ".join(f"{name} {format_rate(rate)}" for name, rate in rates.items()),
        )
        for policy, found in figures["ceilings"].items()
        for kind, rates in found["bytes_per_s"].items()
    )
    headings = ("policy", "kind", "over", *(f"of the {name}" for name in tops), "by variant")
    yield from table(headings, rows)


def _of(top: float | None, rates: dict[str, float]) -> str:
    return f"{next(iter(rates.values())) / top:.3f}" if top else "-"


def _streams(title: str, rows: Any) -> Iterator[str]:
    if not rows:
        return
    yield from _section(title)
    headings = ("policy", "operation", "run", "order", "bandwidth", "of ceiling", "by")
    yield from table((*headings, "others", "samples", ""), (_stream(row) for row in rows))


def _stream(row: dict[str, Any]) -> tuple[str, ...]:
    launch = f" x {format_bytes(row['launch_bytes'])}" if "launch_bytes" in row else ""
    return (
        row["policy"],
        row["op"],
        format_bytes(row["run_bytes"]) + launch,
        row.get("order", ""),
        format_rate(row["bytes_per_s"]),
        f"{row['ratio']:.3f}",
        row["variant"],
        _others(row),
        f"{row['samples']}" + (f", {row['dropped']} dropped" if row["dropped"] else ""),
        "noisy" if row["noisy"] else "",
    )


def _others(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {format_rate(rate)}"
        for name, rate in row["variants_bytes_per_s"].items()
        if name != row["variant"]
    )


def _gathers(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield from _section("Gather of pages into a dense buffer, read plus written")
    names = list(dict.fromkeys(name for row in rows for name in row["against"]))
    cells = (
        (
            row["policy"],
            format_bytes(row["run_bytes"]),
            format_rate(row["bytes_per_s"]),
            f"{row['ratio']:.3f}",
            row["variant"],
            *(_against(row["against"].get(name)) for name in names),
        )
        for row in rows
    )
    headings = ("policy", "page", "bandwidth", "of the copy ceiling", "by")
    yield from table((*headings, *(f"CuPy's {name}" for name in names)), cells)
    for why in dict.fromkeys(row["cupy"] for row in rows if not row["against"]):
        yield f"Without CuPy: {why}."
        yield ""


def _against(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    return f"{format_rate(found['against_bytes_per_s'])}: {found['ratio']:.2f} times"


def _swaps(rows: Any) -> Iterator[str]:
    if not rows:
        return
    yield from _section("Swaps, of the link's ceiling: one pinned copy of 2 GiB")
    cells = (
        (
            row["policy"],
            row["op"],
            format_bytes(row["run_bytes"]),
            format_rate(row["against_bytes_per_s"]),
            format_rate(row["bytes_per_s"]),
            f"{row['ratio']:.3f}",
            row["variant"],
            _others(row),
            f"{row['times_per_block']['ratio']:.2f}" if row["times_per_block"] else "-",
            "noisy" if row["noisy"] else "",
        )
        for row in rows
    )
    headings = ("policy", "direction", "page", "ceiling", "bandwidth", "of ceiling", "by", "others")
    yield from table((*headings, "times per_block", ""), cells)


def _share(found: dict[str, Any] | None) -> str:
    return "-" if found is None else f"{found['ratio']:.3f}"


def _spans(rows: Any) -> Iterator[str]:
    if not rows:
        return
    yield from _section(
        "Address translation: pages drawn from a pool, of as many that lie together"
    )
    by_span: dict[int, dict[int, Any]] = {row["span_bytes"]: {} for row in rows}
    for row in rows:
        by_span[row["span_bytes"]][row["run_bytes"]] = row
    pages = sorted({row["run_bytes"] for row in rows})
    cells = (
        (format_bytes(span), *(_share(found.get(page)) for page in pages))
        for span, found in by_span.items()
    )
    yield from table(("pool", *(f"{format_bytes(page)} pages" for page in pages)), cells)


def _allocations(rows: Any) -> Iterator[str]:
    if not rows:
        return
    yield from _section("Allocations")
    cells = (
        (
            row["policy"],
            format_bytes(row["bytes"]),
            str(row["count"]),
            format_seconds(row["allocate_seconds"]),
            format_seconds(row["free_seconds"]),
            f"{row['held_bytes'] / row['asked_bytes']:.3f}",
        )
        for row in rows
    )
    yield from table(("policy", "size", "count", "allocate", "free", "held / asked"), cells)


def _profiles(rows: Any) -> Iterator[str]:
    if not rows:
        return
    yield from _section("kvprof profile, every architecture")
    times = (
        f"{row['arch']} {row['failed'] if 'failed' in row else format_seconds(row['seconds'])}"
        for row in rows
    )
    yield f"By the wall clock: {', '.join(times)}."
    yield ""
    cells = (
        (
            row["arch"],
            stream["op"],
            stream["cache"],
            stream["order"],
            format_tokens(stream["tokens"]),
            format_bytes(stream["run_bytes"]),
            format_rate(stream["bytes_per_s"]),
            f"{stream['ratio_to_ceiling']:.3f}",
            stream["variant"],
            "noisy" if stream["noisy"] else "",
        )
        for row in rows
        for stream in row.get("streams", ())
    )
    headings = ("arch", "operation", "cache", "order", "tokens", "run", "bandwidth", "of ceiling")
    yield from table((*headings, "by", ""), cells)
