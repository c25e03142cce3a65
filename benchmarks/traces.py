"""Rows per second and resident memory of reading and replaying a large trace; JSON with -o.

The file is generated, in the shape of Azure's week of 2024 (a date with six digits and a zone, two
lengths on each line): 44 million rows there, 10 million by default here. Each reading is a process
of its own, whose largest resident set is what the system says it was. `kvprof replay` runs the one
in order through `vllm` for Llama 3 8B, in 640 GiB.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import add_output_option, machine, write

WEEK_ROWS = 44_107_694
WEEK_SECONDS = 7 * 86_400
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
GENERATED_AT_ONCE = 500_000
LONGEST_PROMPT = 130_000
REPLAY = (
    *("--model", "llama-3-8b", "--engine", "vllm"),
    *("--memory", "640GiB", "--format", "json"),
)


def generate(path: Path, rows: int, *, shuffled: bool) -> None:
    """Write the file; shuffled within each half million rows, as a log of many writers is."""
    generator = np.random.default_rng(0)
    clock = np.datetime64("2024-05-10T00:00:00.009930", "us")
    with path.open("w", encoding="ascii") as file:
        file.write(HEADER)
        for first in range(0, rows, GENERATED_AT_ONCE):
            count = min(GENERATED_AT_ONCE, rows - first)
            gaps = generator.exponential(WEEK_SECONDS / WEEK_ROWS, count) * 1e6
            stamps = clock + np.cumsum(gaps).astype("timedelta64[us]")
            clock = stamps[-1]
            if shuffled:
                generator.shuffle(stamps)
            prompts = np.clip(generator.lognormal(7, 1, count), 1, LONGEST_PROMPT).astype(int)
            outputs = np.maximum(generator.lognormal(4, 1, count), 1).astype(int)
            texts = np.datetime_as_string(stamps, unit="us").tolist()
            file.writelines(
                f"{text[:10]} {text[11:]}+00:00,{prompt},{output}\n"
                for text, prompt, output in zip(
                    texts, prompts.tolist(), outputs.tolist(), strict=True
                )
            )


def read(path: Path) -> dict[str, Any]:
    """Read a trace to its end, batch by batch, and say what that took of this process."""
    from kvprof.workload.trace import open_trace  # noqa: PLC0415 - in the process that is measured

    start = time.perf_counter()
    with open_trace([path]) as trace:
        opened = time.perf_counter()
        rows = sum(len(batch) for batch in trace.batches())
        done = time.perf_counter()
        out_of_order = trace.facts.out_of_order
    return {
        "rows": rows,
        "out_of_order": out_of_order,
        "open_seconds": opened - start,
        "batches_seconds": done - opened,
        "resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def measured_apart(path: Path) -> dict[str, Any]:
    words = [sys.executable, __file__, "--read", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def replayed(path: Path) -> dict[str, Any]:
    """What `kvprof replay` takes of a trace, from its start to its end."""
    words = [sys.executable, "-m", "kvprof", "replay", "--trace", str(path), *REPLAY]
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(words, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise SystemExit(f"{' '.join(words)} failed")
        output.seek(0)
        (result,) = json.load(output)["results"]
    return {
        "command": f"kvprof replay --trace week.csv {' '.join(REPLAY)}",
        "rows": result["requests"]["total"],
        "requests": result["requests"],
        "most_live_sequences": result["most_live_sequences"],
        "seconds": seconds,
        "replay_seconds": result["seconds"],
        "resident_bytes": usage.ru_maxrss * 1024,
    }


def measure(rows: int) -> dict[str, Any]:
    readings = {}
    for name in ("in order", "shuffled"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "week.csv"
            generate(path, rows, shuffled=name == "shuffled")
            readings[name] = {"file_bytes": path.stat().st_size} | measured_apart(path)
            if name == "in order":
                replay = replayed(path)
    return {"machine": machine(), "readings": readings, "replay": replay}


def table(result: dict[str, Any]) -> list[str]:
    lines = [f"{'':<12}{'rows':>12}{'MB':>8}{'open s':>10}{'batches s':>11}{'resident MiB':>14}"]
    for name, found in result["readings"].items():
        lines.append(
            f"{name:<12}{found['rows']:>12,}{found['file_bytes'] / 1e6:>8.0f}"
            f"{found['open_seconds']:>10.2f}{found['batches_seconds']:>11.2f}"
            f"{found['resident_bytes'] / 2**20:>14.0f}"
        )
    found = result["replay"]
    lines += [
        "",
        f"{found['command']}: {found['seconds']:.1f} s, of which the replay "
        f"{found['replay_seconds']:.2f} s, {found['resident_bytes'] / 2**20:.0f} MiB resident",
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    add_output_option(parser)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read(arguments.read)))
        return
    result = measure(arguments.rows)
    print("\n".join(table(result)))
    write(result, arguments.output)


if __name__ == "__main__":
    main()
