"""What ``gpu.sh`` needs before it can build: nothing out, or the first thing that is not here.

Exit code 3 where there is no GPU, 1 where something is not installed. Imports nothing of kvprof.
"""

from __future__ import annotations

import ctypes
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

BUILD = {"pip": "pip", "scikit_build_core": "'scikit-build-core>=0.11'", "pybind11": "pybind11"}
RUN = {name: name for name in ("click", "msgspec", "numpy", "pluggy", "psutil", "rich")}
TEST = {name: name for name in ("hatchling", "hypothesis", "jsonschema", "pytest")}
"""Modules, and what pip installs them by."""


def gpu_fault() -> str | None:
    """Asks the driver itself: a container may have a GPU and no nvidia-smi."""
    try:
        code = ctypes.CDLL("libcuda.so.1").cuInit(0)
    except OSError:
        return "no NVIDIA driver here (libcuda.so.1)"
    return f"the NVIDIA driver finds no GPU (cuInit gives {code})" if code else None


def fault() -> str | None:
    """Why a build cannot succeed."""
    if sys.version_info < (3, 10):  # noqa: UP036 (it may be started with an older one)
        return f"Python {sys.version.split()[0]} is too old: set PYTHON to one of 3.10 or newer"
    if shutil.which("nvcc") is None:
        return "no nvcc on PATH, nor in /usr/local/cuda/bin"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        return f"no {header}: install the headers of this Python (python3-dev)"
    missing = [given for name, given in (BUILD | RUN | TEST).items() if find_spec(name) is None]
    if shutil.which("cmake") is None and find_spec("cmake") is None:
        missing.append("'cmake>=3.26'")
    if missing:
        return f"not installed: {sys.executable} -m pip install {' '.join(missing)}"
    return None


def main() -> int:
    if found := gpu_fault():
        print(f"nothing measured: {found}")
        return 3
    if found := fault():
        print(f"nothing measured: {found}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
