"""What a result says of the GPU: driver, toolkit, clocks, and what its datasheet promises."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

from machine import RESULTS

from kvprof import _core

_H100 = "https://www.nvidia.com/en-us/data-center/h100/"
_GH200 = "NVIDIA GH200 Grace Hopper Superchip datasheet"
_A100 = "https://www.nvidia.com/en-us/data-center/a100/"
DATASHEETS: tuple[tuple[str, float, str], ...] = (
    (r"\bGH200 144G HBM3e\b", 4.9e12, _GH200),
    (r"\bGH200 (120|480)GB\b", 4.0e12, _GH200),
    (r"\bH200\b", 4.8e12, "https://www.nvidia.com/en-us/data-center/h200/"),
    (r"\bH100 NVL\b", 3.9e12, _H100),
    (r"\bH100 PCIe\b", 2.0e12, "NVIDIA H100 PCIe GPU product brief PB-11133-001"),
    (r"\bH100 80GB HBM3\b", 3.35e12, _H100),
    (r"\bA100.SXM.*80GB\b", 2.039e12, _A100),
    (r"\bA100\b.*80GB\b", 1.935e12, _A100),
    (r"\bA100\b.*40GB\b", 1.555e12, "NVIDIA A100 Tensor Core GPU Architecture white paper"),
    (r"\bB200\b", 8.0e12, "https://www.nvidia.com/en-us/data-center/dgx-b200/ (64 TB/s of 8)"),
)
"""A pattern of the device's name, its memory's bytes per second, and who says so; the first that
fits. A name without its form factor fits none; that of a GH200 with 96 GB of HBM3 has the gigabytes
of its CPU's memory."""

MOST_SECONDS = 20.0
"""A driver that is being reset keeps nvidia-smi waiting."""

_SMI_FIELDS = (
    "driver_version",
    "clocks.max.sm",
    "clocks.max.memory",
    "power.limit",
    "ecc.mode.current",
    "mig.mode.current",
    "pcie.link.gen.current",
    "pcie.link.width.current",
)


def device_facts(backend: _core.Backend, name: str) -> dict[str, Any]:
    """The device, and the software between it and us."""
    facts = backend.facts
    sheet = datasheet(facts.name)
    return {
        "name": facts.name,
        "device": name,
        "instruction_set": facts.instruction_set,
        "compute_units": facts.compute_units,
        "memory_bytes": facts.memory_bytes,
        "available_bytes": backend.available_bytes(),
        "last_level_cache_bytes": facts.last_level_cache_bytes,
        "bus_peak_bytes_per_s": facts.bus_peak_bytes_per_s,
        "datasheet_bytes_per_s": sheet[0] if sheet else None,
        "datasheet": sheet[1] if sheet else None,
        "policies": list(backend.policies),
        "emulated": _emulated(),
        "toolkit": _toolkit(),
        "cupy": _version_of("cupy"),
        "nvidia_smi": _nvidia_smi(name),
    }


def datasheet(name: str) -> tuple[float, str] | None:
    """Bytes per second and the source, where the device is known."""
    for pattern, bytes_per_s, source in DATASHEETS:
        if re.search(pattern, name):
            return bytes_per_s, source
    return None


def gpu_results_folder(name: str) -> Path:
    """``results/nvidia-h200``: the files of one kind of device lie together."""
    return RESULTS / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _emulated() -> bool:
    """Whether the device is one that only tests have."""
    try:
        return bool(getattr(import_module("kvprof._cuda"), "EMULATED", False))
    except ImportError:
        return False


def _toolkit() -> dict[str, Any]:
    """CUDA as it was built with, as the driver serves it, and the compiler here."""
    try:
        cuda = import_module("kvprof._cuda")
    except ImportError:
        return {"runtime": None, "driver_serves": None, "nvcc": _nvcc()}
    return {
        "runtime": ".".join(map(str, cuda.runtime_version())),
        "driver_serves": ".".join(map(str, cuda.driver_version() or ())) or None,
        "nvcc": _nvcc(),
    }


def _nvcc() -> str | None:
    found = re.search(r"release [\d.]+, V([\d.]+)", _output("nvcc", "--version"))
    return found[1] if found else None


def _nvidia_smi(name: str) -> dict[str, str]:
    """Clocks, power and modes of one device, as text; empty where there is no nvidia-smi."""
    index = name.partition(":")[2] or "0"
    query = f"--query-gpu={','.join(_SMI_FIELDS)}"
    line = _output("nvidia-smi", query, "--format=csv,noheader", "-i", index)
    values = [value.strip() for value in line.split(",")]
    return dict(zip(_SMI_FIELDS, values, strict=True)) if len(values) == len(_SMI_FIELDS) else {}


def _output(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        return ""
    command = [program, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=MOST_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version_of(module: str) -> str | None:
    try:
        return str(import_module(module).__version__)
    except ImportError:
        return None
