"""How fast configs are sized: a thousand in one process, and one from the shell.

A table out, JSON with -o. The configs are those of published models and of config classes beside
the project, else the catalogue's; each is read from its file, laid out and sized anew. From the
shell a command is started afresh each time, beside an empty Python program: none can be faster.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from machine import add_output_option, machine, write

from kvprof.catalogue import read_catalogue
from kvprof.errors import KvprofError
from kvprof.model import config_model
from kvprof.registry import registry
from kvprof.size import Request, size_model

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CONFIGS = 1_000
GOAL_SECONDS = 1.0
SHELL_GOAL_SECONDS = 0.3
REQUEST = Request(tokens=4096, max_model_len=8192)


def published() -> list[Path]:
    """Configs of published models and of config classes, where they lie beside the project."""
    return sorted([*DATA.glob("configs/*.json"), *DATA.glob("groundtruth/**/config.json")], key=str)


def from_catalogue(folder: Path) -> list[Path]:
    paths = []
    for model in read_catalogue():
        paths.append(folder / f"{model.name}.json")
        paths[-1].write_text(json.dumps(model.config), encoding="utf-8")
    return paths


def sizeable(paths: list[Path], engine: Any) -> tuple[list[str], int]:
    """Those that are read, and that the engine does not refuse; and how many it refuses."""
    found, refused = [], 0
    for path in map(str, paths):
        try:
            size_model(config_model(path), engine, REQUEST)
        except KvprofError:
            refused += 1
        else:
            found.append(path)
    return found, refused


def seconds(run: Callable[[], object], runs: int) -> dict[str, Any]:
    run()
    samples = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        samples.append(time.perf_counter() - start)
    return {"median": statistics.median(samples), "least": min(samples), "samples": samples}


def in_process(paths: list[Path], runs: int) -> dict[str, Any]:
    """Seconds for a thousand configs, by engine."""

    def size_all(engine: Any, thousand: list[str]) -> None:
        for path in thousand:
            size_model(config_model(path), engine, REQUEST)

    figures = {}
    for name, offered in registry().engines.items():
        found, refused = sizeable(paths, offered.what)
        if not found:
            continue
        run = partial(size_all, offered.what, list(islice(cycle(found), CONFIGS)))
        figures[f"{CONFIGS} configs, {name}"] = seconds(run, runs) | {
            "goal_seconds": GOAL_SECONDS,
            "sized_configs": len(found),
            "refused_configs": refused,
        }
    return figures


def from_the_shell(path: Path, runs: int) -> dict[str, Any]:
    kvprof = [sys.executable, "-m", "kvprof"]
    commands = {
        "an empty Python program": ([sys.executable, "-c", "pass"], None),
        "kvprof --version": ([*kvprof, "--version"], SHELL_GOAL_SECONDS),
        "kvprof size --config": ([*kvprof, "size", "--config", str(path)], SHELL_GOAL_SECONDS),
        "kvprof size --model": ([*kvprof, "size", "--model", "llama-3-8b"], SHELL_GOAL_SECONDS),
    }
    return {
        name: seconds(
            lambda words=words: subprocess.run(words, check=True, capture_output=True), runs
        )
        | {"goal_seconds": goal}
        for name, (words, goal) in commands.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_output_option(parser)
    parser.add_argument("--runs", type=int, default=5, help="runs of a thousand configs")
    parser.add_argument("--shell-runs", type=int, default=21, help="runs of each command")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = published() or from_catalogue(Path(folder))
        figures = in_process(given, arguments.runs)
        sized, _ = sizeable(given, registry().engine("logical").what)
        figures |= from_the_shell(Path(sized[0]), arguments.shell_runs)
    print(f"of {len(given)} configs those that an engine takes, in turn")
    print(f"{'seconds':<32}{'configs':>8}{'refused':>8}{'median':>10}{'least':>10}{'goal':>8}")
    for name, found in figures.items():
        goal = "-" if found["goal_seconds"] is None else f"{found['goal_seconds']:.2f}"
        counts = [found.get(f"{what}_configs", "-") for what in ("sized", "refused")]
        print(
            f"{name:<32}{counts[0]:>8}{counts[1]:>8}{found['median']:>10.3f}"
            f"{found['least']:>10.3f}{goal:>8}"
        )
    write({"machine": machine(), "configs": len(given), "figures": figures}, arguments.output)


if __name__ == "__main__":
    main()
