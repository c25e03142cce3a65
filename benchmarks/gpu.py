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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gpu_bench import Bench, Effort, opened
from gpu_copies import gathers, swaps, zeros_and_copies
from gpu_device import device_facts, gpu_results_folder
from gpu_link import linked
from gpu_profiles import allocations, grid, profiles
from gpu_report import markdown
from gpu_streams import Row, appends, reads, spans, sparse, updates
from machine import machine, write

from kvprof import _core
from kvprof.device import open_device
from kvprof.errors import KvprofError
from kvprof.measure.ceilings import LINK_KINDS

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
    """Bytes per second by policy, kind and variant, and the bytes of one pass by kind."""
    found = {}
    for policy in policies:
        with opened(backend, policy, effort) as bench, linked(bench) as link:
            sizes = dict.fromkeys(bench.rates, bench.nbytes)
            sizes |= dict.fromkeys(LINK_KINDS, link.host.nbytes)
            found[policy] = {"bytes": sizes, "bytes_per_s": bench.rates | link.rates()}
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
    return profiles(device, effort.scale, effort.profile_seconds)


def record(figures: dict[str, Any], name: str, effort: Effort, measure: Callable[[], Any]) -> bool:
    """Put a section's figures among the others, or why there are none; whether all went well."""
    start = time.perf_counter()
    try:
        found = measure()
    except Exception as error:  # one section must not end the others
        why = f"{type(error).__name__}: {error}"
        print(f"{name} failed: {why}", file=sys.stderr)
        figures.setdefault("failed", {})[name] = why
        return False
    figures[name] = found
    figures.get("failed", {}).pop(name, None)
    figures.setdefault("measured", {})[name] = {
        "date": figures["machine"]["date"],
        "commit": figures["machine"]["commit"],
        "seconds": time.perf_counter() - start,
        "scale": effort.scale,
    }
    return name != "profiles" or not any("failed" in row for row in found)


def unknown(about: dict[str, Any], commit: str | None) -> Iterator[str]:
    """What a result will not say, and what it takes that it does."""
    if commit is None:
        yield "commit not known: no git or no repository here; set KVPROF_COMMIT"
    if not about["nvidia_smi"]:
        yield "driver, clocks and power not known: nvidia-smi is not here, or does not answer"
    if about["datasheet"] is None:
        yield f"no datasheet of {about['name']} is known: its promise is not compared with"
    if about["cupy"] is None:
        yield "cupy is not installed: gathers are not compared with it"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--policies", nargs="+", help="allocation policies (all)")
    parser.add_argument("--device", default="cuda:0", help="cuda:0; cpu tries the program alone")
    parser.add_argument("--quick", action="store_true", help="little time and memory, one policy")
    parser.add_argument("--scale", type=float, help="of all sizes; below 1 nothing counts (1)")
    parser.add_argument(
        "--profile-seconds", type=float, default=120.0, help="for all profiles together (120)"
    )
    parser.add_argument("-o", "--output", type=Path, help="results/<device>/gpu.json")
    parser.add_argument(
        "--print-folder", action="store_true", help="say where results go, and measure nothing"
    )
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    device: str = arguments.device
    try:
        backend = open_device(device)
    except KvprofError as error:
        print(f"nothing measured: {error.args[0]}", file=sys.stderr)
        return error.exit_code
    about, here = device_facts(backend, device), machine()
    for line in unknown(about, here["commit"]):
        print(f"note: {line}", file=sys.stderr)
    folder = gpu_results_folder(about["name"])
    if arguments.print_folder:
        print(folder)
        return 0
    effort = replace(
        QUICK if arguments.quick else Effort(), profile_seconds=arguments.profile_seconds
    )
    if arguments.scale is not None:
        effort = replace(effort, scale=arguments.scale)
    policies = arguments.policies or backend.policies[: 1 if arguments.quick else None]
    output: Path = arguments.output or folder / "gpu.json"
    figures: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    failed = False
    for name in arguments.sections:
        figures |= {"machine": machine(), "device": about}
        measure = partial(section, name, backend, device, policies, effort)
        failed |= not record(figures, name, effort, measure)
        write(figures, output)
        output.with_suffix(".md").write_text(markdown(figures), encoding="utf-8")
    sys.stdout.write(markdown(figures))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
