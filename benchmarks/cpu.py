"""The CPU backend measured in one go: JSON and Markdown into ``results/<machine>/``.

Streams against ceilings, NumPy and libc; small against huge pages; the grid over batch and context;
memory orders; and how steady five profiles are, alone and beside a process that loads one core.
Each section is written when it is done; one that is measured again replaces its figures alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cpu_baselines import against_memcpy, against_take, contiguous_read, small_pages
from cpu_profiles import grid, memory_orders, steady
from cpu_report import markdown
from cpu_streams import Bench, ceilings, compared, stream_rows
from machine import machine, results_folder, write

from kvprof import _core
from kvprof.host import huge_page_bytes, node_bytes
from kvprof.measure.sampler import CoreClock

CACHES_OVER = 5
LEAST_BYTES = 1 << 30
HOST_SHARE = 4
SECTIONS = ("streams", "baselines", "grid", "orders", "steady")


def memory_facts(memory: _core.Memory) -> dict[str, Any]:
    """What the system really gave."""
    address = np.asarray(memoryview(memory)).ctypes.data
    return {
        "bytes": memory.nbytes,
        "policy": memory.policy,
        "huge_page_bytes": huge_page_bytes(address),
        "node_bytes": node_bytes(address),
    }


def opened(seconds: float) -> tuple[Bench, dict[str, Any]]:
    """The bench, its memories touched, and what the system says of them."""
    backend = _core.CpuBackend()
    cache = backend.facts.last_level_cache_bytes
    size = max(LEAST_BYTES, CACHES_OVER * cache) >> 21 << 21
    memory, host = backend.allocate(size), backend.allocate(size // HOST_SHARE)
    touch = [backend.fill(memory, 0, size, seed, finite=True) for seed in (1, 2)]
    backend.fill(host, 0, host.nbytes, 3)
    facts = {
        "device": backend.facts.name,
        "instruction_set": backend.facts.instruction_set,
        "last_level_cache_bytes": cache,
        "cpus": list(backend.cpus),
        "pinned": list(backend.pinned),
        "memory": memory_facts(memory),
        "first_touch_bytes_per_s": size / touch[0],
        "touch_again_bytes_per_s": size / touch[1],
    }
    bench = Bench(backend, memory, host, seconds, CoreClock(), np.random.default_rng(0))
    return bench, facts


def streams_section(bench: Bench) -> dict[str, Any]:
    tops = ceilings(bench)
    rows = []
    for row in stream_rows(bench, tops):
        print(
            f"{row['op']:24}{row['run_bytes']:>9} B {row['order']:11}{row['ratio']:.3f}",
            file=sys.stderr,
        )
        rows.append(row)
    top = next(iter(tops["read"]))

    def read() -> _core.StreamResult:
        return bench.backend.ceiling(bench.memory, "read", top, 0, bench.memory.nbytes)

    return {"ceilings": tops, "noise": compared(bench, read, read), "streams": rows}


def baselines_section(bench: Bench) -> dict[str, Any]:
    tops = ceilings(bench)
    found = {
        "contiguous_read": contiguous_read(bench, tops),
        "memcpy": against_memcpy(bench),
        "take": against_take(bench),
    }
    plain = bench.backend.allocate(bench.memory.nbytes, "plain")
    bench.backend.fill(plain, 0, plain.nbytes, 1)
    return found | {
        "small_pages": {"memory": memory_facts(plain), "reads": small_pages(bench, plain)}
    }


def measured(
    sections: list[str], seconds: float, runs: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of each section that was asked for, as it is done."""
    if {"streams", "baselines"} & set(sections):
        bench, device = opened(seconds)
        if "streams" in sections:
            yield "streams", {"device": device, **streams_section(bench)}
        if "baselines" in sections:
            yield "baselines", {"baselines": baselines_section(bench)}
        bench.memory.release()
        bench.host.release()
    if "grid" in sections:
        yield "grid", {"grid": grid()}
    if "orders" in sections:
        yield "orders", {"orders": memory_orders()}
    if "steady" in sections:
        last = _core.CpuBackend().cpus[-1]
        alone = steady(runs, None)
        yield "steady", {"steady": {"alone": alone, "beside_a_load": steady(runs, last)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each comparison (3)")
    parser.add_argument("--runs", type=int, default=5, help="profiles to compare (5)")
    parser.add_argument("-o", "--output", type=Path, default=results_folder() / "cpu.json")
    arguments = parser.parse_args()
    if arguments.seconds <= 0 or arguments.runs < 2:
        parser.error("--seconds must be above 0, --runs 2 or more")
    output: Path = arguments.output
    figures: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    for section, found in measured(arguments.sections, arguments.seconds, arguments.runs):
        figures |= {"machine": machine(), **found}
        about = {key: figures["machine"][key] for key in ("date", "commit", "load_average")}
        figures.setdefault("measured", {})[section] = about
        write(figures, output)
        output.with_suffix(".md").write_text(markdown(figures), encoding="utf-8")
    sys.stdout.write(markdown(figures))


if __name__ == "__main__":
    main()
