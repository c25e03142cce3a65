"""What kvprof needs or can use, and how it is on this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import psutil

from kvprof import __version__
from kvprof.device import device_rows
from kvprof.environment import third_party_plugins
from kvprof.host import available_memory
from kvprof.listing_result import DoctorRow
from kvprof.registry import registry
from kvprof.units import format_bytes

_OPTIONAL = {"cupy": ("cuda12", "cuda13"), "gguf": ("gguf",), "huggingface_hub": ("hub",)}
"""Packages that are used where they are there, and the extras that install them."""

_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def doctor_rows() -> list[DoctorRow]:
    """One row a subject; status is ``ok``, ``missing`` (optional) or ``limited``."""
    return [
        DoctorRow("kvprof", "ok", f"{__version__} in {Path(__file__).parent}"),
        DoctorRow("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        *_devices(),
        _memory(),
        _huge_pages(),
        _threads(),
        *_optional(),
        _plugins(),
    ]


def _devices() -> Iterator[DoctorRow]:
    for row in device_rows():
        yield DoctorRow(row.name, "ok" if row.available else "missing", row.description)


def _memory() -> DoctorRow:
    total = psutil.virtual_memory().total
    text = f"{format_bytes(available_memory())} available of {format_bytes(total)}"
    return DoctorRow("memory", "ok", text)


def _huge_pages() -> DoctorRow:
    try:
        setting = _HUGE_PAGES.read_text(encoding="ascii").strip()
    except OSError:
        return DoctorRow("huge pages", "limited", "this system has no transparent huge pages")
    if "[never]" in setting:
        text = f"off ({setting}); scattered reads are slower. Try madvise in {_HUGE_PAGES}"
        return DoctorRow("huge pages", "limited", text)
    return DoctorRow("huge pages", "ok", f"transparent: {setting}")


def _threads() -> DoctorRow:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return DoctorRow("threads", "ok", f"{usable} of {os.cpu_count()} CPUs may be used")


def _optional() -> Iterator[DoctorRow]:
    for package, extras in _OPTIONAL.items():
        if importlib.util.find_spec(package) is None:
            pip = " or ".join(f"'kvprof[{extra}]'" for extra in extras)
            yield DoctorRow(package, "missing", f"optional: pip install {pip}")
        else:
            yield DoctorRow(package, "ok", "installed")


def _plugins() -> DoctorRow:
    names = third_party_plugins()
    built_in = len(registry().origins()) - len(names)
    others = ", ".join(names) if names else "no others"
    return DoctorRow("plugins", "ok", f"{built_in} built in; {others}")
