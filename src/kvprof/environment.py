"""What every document says of the machine and the software that made it."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from typing import Any

from kvprof.registry import registry


def environment() -> dict[str, Any]:
    """Date (UTC), system, CPU, Python and the plugins of other distributions."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "logical_cpus": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "plugins": third_party_plugins(),
    }


def cpu_model() -> str:
    """The CPU's name as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def third_party_plugins() -> list[str]:
    """The plugins that are not kvprof's own."""
    return sorted(str(origin) for origin in registry().origins() if not origin.builtin)
