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

from kvprof.environment import cpu_model


def machine() -> dict[str, Any]:
    """CPU, kernel, Python, commit, date, and how busy it was."""
    return {
        "cpu": cpu_model(),
        "logical_cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load_average": os.getloadavg(),
    }


def _commit() -> str | None:
    if shutil.which("git") is None:
        return None
    git = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    folder = Path(__file__).parent
    found = subprocess.run(git, cwd=folder, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """``-o FILE``."""
    parser.add_argument("-o", "--output", type=Path, help="also write the figures as JSON")


def write(figures: dict[str, Any], output: Path | None) -> None:
    """Write the figures as JSON, when a file was given."""
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
