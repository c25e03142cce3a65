"""Wall time of whole commands, as a user waits for them: a table out, JSON with -o.

Each command is started afresh; one unrecorded run comes first, so that the files are in memory and
compiled. The time of an empty Python program is given beside them: no command can be faster.
"""

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

from machine import add_output_option, machine, write

KVPROF = [sys.executable, "-m", "kvprof"]
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "an empty Python program": ([sys.executable, "-c", "pass"], None),
    "kvprof --help": ([*KVPROF, "--help"], 0.15),
    "kvprof list engines": ([*KVPROF, "list", "engines"], 0.15),
    "kvprof list architectures": ([*KVPROF, "list", "architectures"], 0.15),
    "kvprof list models": ([*KVPROF, "list", "models"], 0.15),
    "kvprof size --arch mla": ([*KVPROF, "size", "--arch", "mla"], 0.3),
    "kvprof profile --arch mla": ([*KVPROF, "profile", "--arch", "mla"], 15.0),
}
"""What is run, and the seconds that it should take at most."""


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(runs: int) -> dict[str, Any]:
    figures = {}
    for name, (command, goal) in COMMANDS.items():
        seconds(command)
        count = runs if goal is None or goal < 1 else 3
        samples = [seconds(command) for _ in range(count)]
        figures[name] = {
            "goal_seconds": goal,
            "median": statistics.median(samples),
            "least": min(samples),
            "samples": samples,
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_output_option(parser)
    parser.add_argument("--runs", type=int, default=15, help="runs of each short command")
    arguments = parser.parse_args()
    figures = measure(arguments.runs)
    print(f"{'seconds':<32}{'median':>10}{'least':>10}{'goal':>10}")
    for name, found in figures.items():
        goal = "-" if found["goal_seconds"] is None else f"{found['goal_seconds']:.2f}"
        print(f"{name:<32}{found['median']:>10.3f}{found['least']:>10.3f}{goal:>10}")
    write({"machine": machine(), "commands": figures}, arguments.output)


if __name__ == "__main__":
    main()
