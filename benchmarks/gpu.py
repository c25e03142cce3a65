"""The GPU backend measured in one go: JSON and Markdown into ``results/<device>/``.

Ceilings against the bus and the datasheet; every stream against its ceiling, by allocation policy;
CuPy; swaps; what allocations and address translation cost; the grid over batch and context; whole
profiles. Each section is written when it is done; one that is measured again replaces its figures
alone. Without a GPU: one line, and exit code 3.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpu_bench import Bench, Effort, opened
from gpu_copies import gathers, swaps, zeros_and_copies
from gpu_device import device_facts, gpu_results_folder
from gpu_profiles import allocations, grid, profiles
from gpu_report import markdown
from gpu_streams import Row, appends, reads, spans, sparse, updates
from machine import machine, write

from kvprof import _core
from kvprof.device import open_device
from kvprof.errors import KvprofError

Rows = Callable[[Bench], Iterator[Row]]

BY_POLICY: dict[str, tuple[Rows, ...]] = {
    "reads": (reads,),
    "updates": (updates,),
    "append": (appends,),
    "copies": (zeros_and_copies, gathers),
    "swaps": (swaps,),
}
"""Measured in memory of every policy."""
ONCE: dict[str, Rows] = {
    "span": spans,
    "sparse": sparse,
    "allocation": allocations,
    "grid": grid,
}
SECTIONS = ("ceilings", *BY_POLICY, *ONCE, "profiles")
QUICK = Effort(seconds=0.2, scale=0.125)


def ceilings_section(backend: _core.Backend, policies: list[str], effort: Effort) -> dict[str, Any]:
    """Bytes per second by policy, kind and variant, and the bytes of one pass."""
    found = {}
    for policy in policies:
        with opened(backend, policy, effort) as bench:
            found[policy] = {"bytes": bench.memory.nbytes, "bytes_per_s": bench.rates}
    return found


def rows_section(
    backend: _core.Backend, policies: list[str], effort: Effort, parts: tuple[Rows, ...]
) -> list[Row]:
    """The rows of each part in memory of each policy."""
    rows: list[Row] = []
    for policy in policies:
        with opened(backend, policy, effort) as bench:
            for part in parts:
                for row in part(bench):
                    _say(policy, row)
                    rows.append({"policy": policy, **row})
    return rows


def _say(policy: str, row: Row) -> None:
    words = [policy, *(str(row[key]) for key in ("op", "run_bytes", "order") if key in row)]
    ratio = f"{row['ratio']:.3f} by {row['variant']}" if "ratio" in row else ""
    print(f"{' '.join(words):56}{ratio}", file=sys.stderr)


def section(
    name: str, backend: _core.Backend, device: str, policies: list[str], effort: Effort
) -> Any:
    """The figures of one section."""
    if name == "ceilings":
        return ceilings_section(backend, policies, effort)
    if name in BY_POLICY:
        return rows_section(backend, policies, effort, BY_POLICY[name])
    if name in ONCE:
        return rows_section(backend, policies[:1], effort, (ONCE[name],))
    return profiles(device, effort.scale)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--policies", nargs="+", help="allocation policies (all)")
    parser.add_argument("--device", default="cuda:0", help="cuda:0; cpu tries the program alone")
    parser.add_argument("--quick", action="store_true", help="little time and memory, one policy")
    parser.add_argument("--scale", type=float, help="of all sizes; below 1 nothing counts (1)")
    parser.add_argument("-o", "--output", type=Path, help="results/<device>/gpu.json")
    arguments = parser.parse_args()
    try:
        backend = open_device(arguments.device)
    except KvprofError as error:
        print(f"nothing measured: {error.args[0]}", file=sys.stderr)
        return error.exit_code
    effort = QUICK if arguments.quick else Effort()
    if arguments.scale is not None:
        effort = Effort(effort.seconds, arguments.scale)
    policies = arguments.policies or backend.policies[: 1 if arguments.quick else None]
    about = device_facts(backend, arguments.device)
    output: Path = arguments.output or gpu_results_folder(about["name"]) / "gpu.json"
    figures: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    failed = 0
    for name in arguments.sections:
        start = time.perf_counter()
        try:
            found = section(name, backend, arguments.device, policies, effort)
        except Exception as error:  # one section must not end the others
            print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
            figures.setdefault("failed", {})[name] = f"{type(error).__name__}: {error}"
            failed += 1
        else:
            figures |= {"machine": machine(), "device": about, name: found}
            figures.get("failed", {}).pop(name, None)
            failed += name == "profiles" and any("failed" in row for row in found)
            figures.setdefault("measured", {})[name] = {
                "date": figures["machine"]["date"],
                "commit": figures["machine"]["commit"],
                "seconds": time.perf_counter() - start,
                "scale": effort.scale,
            }
        figures |= {"machine": machine(), "device": about}
        write(figures, output)
        output.with_suffix(".md").write_text(markdown(figures), encoding="utf-8")
    sys.stdout.write(markdown(figures))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
