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
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from machine import add_output_option, machine, write

from kvprof.catalogue import read_catalogue
from kvprof.errors import ConfigError
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


def readable(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        with suppress(ConfigError):
            config_model(str(path))
            found.append(path)
    return found


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
    thousand = list(islice(cycle(str(path) for path in paths), CONFIGS))

    def size_all(engine: Any) -> None:
        for path in thousand:
            size_model(config_model(path), engine, REQUEST)

    engines = {name: offered.what for name, offered in registry().engines.items()}
    return {
        f"{CONFIGS} configs, {name}": seconds(lambda engine=engine: size_all(engine), runs)
        | {"goal_seconds": GOAL_SECONDS}
        for name, engine in engines.items()
    }


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
        paths = readable(given)
        figures = in_process(paths, arguments.runs)
        figures |= from_the_shell(paths[0], arguments.shell_runs)
    print(f"{len(paths)} of {len(given)} configs are read, in turn")
    print(f"{'seconds':<32}{'median':>10}{'least':>10}{'goal':>10}")
    for name, found in figures.items():
        goal = "-" if found["goal_seconds"] is None else f"{found['goal_seconds']:.2f}"
        print(f"{name:<32}{found['median']:>10.3f}{found['least']:>10.3f}{goal:>10}")
    write({"machine": machine(), "configs": len(paths), "figures": figures}, arguments.output)


if __name__ == "__main__":
    main()
