"""What the host says of its memory: how much may be used, and what a mapping really got."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ")
_NODE = re.compile(r"N\d+")


def available_memory() -> int:
    """Bytes that can be allocated without swapping or being killed.

    The least of what the system has available and what the control groups of this process leave
    (their limit less what they use), as containers set it.
    """
    limits = [psutil.virtual_memory().available]
    for group in _control_groups():
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            limits.append(max(0, limit - used + _reclaimable(group)))
    return min(limits)


def huge_page_bytes(address: int) -> int | None:
    """Bytes of the mapping at ``address`` that the system really backs with huge pages.

    None where it does not say (no ``/proc/self/smaps``).
    """
    inside = False
    for line in _lines(Path("/proc/self/smaps")):
        if match := _MAPPING.match(line):
            inside = int(match[1], 16) <= address < int(match[2], 16)
        elif inside and line.startswith("AnonHugePages:"):
            return int(line.split()[1]) * 1024
    return None


def node_bytes(address: int) -> dict[str, int] | None:
    """Bytes of the mapping that starts at ``address`` by NUMA node, as the pages really lie.

    None where the system does not say (no ``/proc/self/numa_maps``).
    """
    for line in _lines(Path("/proc/self/numa_maps")):
        words = line.split()
        if int(words[0], 16) == address:
            facts = dict(word.split("=", 1) for word in words if "=" in word)
            page = int(facts.get("kernelpagesize_kB", "4")) * 1024
            return {n[1:]: int(c) * page for n, c in facts.items() if _NODE.fullmatch(n)}
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _control_groups() -> list[Path]:
    """The process's own group of the unified hierarchy, and all above it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return []
    group = _CGROUP / path.lstrip("/")
    return [group, *(parent for parent in group.parents if parent.is_relative_to(_CGROUP))]


def _reclaimable(group: Path) -> int:
    """File pages that the system drops when memory is asked for."""
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _number(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
