"""What every benchmark says of the machine it ran on, and how it writes its figures."""

import argparse
import json
import os
import platform
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kvprof import _core
from kvprof.environment import cpu_model

RESULTS = Path(__file__).parent / "results"

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_VENDORS = {"GenuineIntel": "intel", "AuthenticAMD": "amd"}


def machine() -> dict[str, Any]:
    """CPU, caches, pages, kernel, compiler, commit, date, and how busy it was."""
    return {
        "cpu": cpu_model(),
        "cpu_family_model": [_cpuinfo("cpu family"), _cpuinfo("model")],
        "logical_cpus": os.cpu_count(),
        "caches": _caches(),
        "page_bytes": os.sysconf("SC_PAGESIZE"),
        "huge_pages": _text(_HUGE_PAGES),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE"),
        "kernel": platform.release(),
        "compiler": _core.COMPILER,
        "python": platform.python_version(),
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load_average": os.getloadavg(),
    }


def results_folder() -> Path:
    """``results/<vendor>-family<n>-model<n>-<n>cpu``: the files of one machine lie together."""
    vendor = _cpuinfo("vendor_id") or platform.machine()
    family, model = _cpuinfo("cpu family"), _cpuinfo("model")
    kind = f"-family{family}-model{model}" if family and model else ""
    return RESULTS / f"{_VENDORS.get(vendor, vendor.lower())}{kind}-{os.cpu_count()}cpu"


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """``-o FILE``."""
    parser.add_argument("-o", "--output", type=Path, help="also write the figures as JSON")


def write(figures: dict[str, Any], output: Path | None) -> None:
    """Write the figures as JSON, when a file was given."""
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        part = output.with_suffix(".part")  # who is stopped while writing leaves the old file whole
        part.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        part.replace(output)


def _cpuinfo(field: str) -> str | None:
    for line in (_text(_CPUINFO) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return None


def _caches() -> list[dict[str, str | None]]:
    """The caches of the first CPU: level, type, size, and the CPUs that share it."""
    fields = ("level", "type", "size", "shared_cpu_list")
    return [
        {field: _text(cache / field) for field in fields}
        for cache in sorted(_CACHES.glob("index*"))
    ]


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _commit() -> str | None:
    """That of the sources here; KVPROF_COMMIT says it of a copy without its repository."""
    if named := os.environ.get("KVPROF_COMMIT"):
        return named
    if shutil.which("git") is None:
        return None
    git = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    folder = Path(__file__).parent
    found = subprocess.run(git, cwd=folder, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
