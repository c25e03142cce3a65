"""The CPUs that this process may use: their NUMA nodes, and which to take for so many threads."""

from __future__ import annotations

import os
from pathlib import Path

from kvprof.errors import UsageError

_CPUS = Path("/sys/devices/system/cpu")


def usable_cpus() -> list[int]:
    """CPUs that this process may use, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpus_for(threads: int) -> list[int]:
    """The CPUs for so many threads: a core each before a second thread of any, one node first.

    Raises
    ------
    UsageError
        When the process may not use so many.
    """
    usable = usable_cpus()
    if threads > len(usable):
        raise UsageError(
            f"--threads is {threads}, and this process may use {len(usable)} CPUs",
            hint=f"Give at most {len(usable)}, or allow it more CPUs (taskset, cgroup).",
        )
    cores: dict[str, int] = {}
    rank = {}
    for cpu in usable:
        core = _text(_CPUS / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        rank[cpu] = cores.get(core, 0)
        cores[core] = rank[cpu] + 1
    chosen = sorted(usable, key=lambda cpu: (rank[cpu], node_of(cpu) or 0, cpu))[:threads]
    return sorted(chosen)


def node_of(cpu: int) -> int | None:
    """The NUMA node of a CPU, None where the system does not say."""
    try:
        nodes = [path.name for path in (_CPUS / f"cpu{cpu}").glob("node*")]
    except OSError:
        return None
    return int(nodes[0].removeprefix("node")) if nodes else None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return None
