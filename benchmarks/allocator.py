"""Nanoseconds per block operation, in C++ and through Python: a table out, JSON with -o.

One operation is one block allocated or one block freed. The C++ figures come from
``time_block_operations``: pairs of allocate and free on an aged pool, so the ids at the top of the
free list stay in the processor's first cache, as they do in an engine that reuses freed blocks at
once. The Python figure is the time of a whole call, NumPy array included.
"""

import argparse
import statistics
import sys
import time
from typing import Any

from machine import add_output_option, machine, write

from kvprof._core import BlockPool, time_block_operations

NUM_BLOCKS = 100_000
BATCHES = (1, 4, 16, 64)
OPERATIONS = 8_000_000
PYTHON_BATCH = 16
PYTHON_PAIRS = 50_000


def cpp_ns_per_operation(batch: int) -> float:
    pairs = OPERATIONS // (2 * batch)
    return time_block_operations(NUM_BLOCKS, batch, pairs) / (2 * pairs * batch) * 1e9


def python_ns_per_call() -> float:
    pool = BlockPool(NUM_BLOCKS)
    start = time.perf_counter()
    for _ in range(PYTHON_PAIRS):
        pool.free(pool.allocate(PYTHON_BATCH))
    return (time.perf_counter() - start) / (2 * PYTHON_PAIRS) * 1e9


def quartiles(samples: list[float]) -> dict[str, Any]:
    q1, median, q3 = statistics.quantiles(samples, n=4, method="inclusive")
    return {"median": median, "q1": q1, "q3": q3, "samples": len(samples)}


def measure(repeats: int) -> dict[str, Any]:
    return {
        "machine": machine(),
        "num_blocks": NUM_BLOCKS,
        "cpp_ns_per_operation": {
            str(batch): quartiles([cpp_ns_per_operation(batch) for _ in range(repeats)])
            for batch in BATCHES
        },
        "python_ns_per_call": {
            str(PYTHON_BATCH): quartiles([python_ns_per_call() for _ in range(repeats)])
        },
    }


def rows(result: dict[str, Any]) -> list[str]:
    def row(label: str, figures: dict[str, Any]) -> str:
        return f"{label:<40}{figures['median']:>10.2f}{figures['q1']:>10.2f}{figures['q3']:>10.2f}"

    lines = [f"{'nanoseconds':<40}{'median':>10}{'q1':>10}{'q3':>10}"]
    for batch, figures in result["cpp_ns_per_operation"].items():
        lines.append(row(f"C++, per block operation, {batch} at a time", figures))
    for batch, figures in result["python_ns_per_call"].items():
        lines.append(row(f"Python, per call of {batch} blocks", figures))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_output_option(parser)
    parser.add_argument("--repeats", type=int, default=15, help="samples of each figure, 2 or more")
    arguments = parser.parse_args()
    if arguments.repeats < 2:
        parser.error(f"--repeats must be 2 or more: got {arguments.repeats}")
    result = measure(arguments.repeats)
    sys.stdout.write("\n".join([str(result["machine"]), *rows(result)]) + "\n")
    write(result, arguments.output)


if __name__ == "__main__":
    main()
