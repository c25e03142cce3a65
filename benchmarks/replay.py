"""How fast a trace is replayed, beside vLLM's own KVCacheManager: a table out, JSON with -o.

The trace is replayed jumping from block boundary to block boundary, and token by token; vLLM's
manager, of an unpacked source distribution (--vllm), is driven token by token over the same
requests, with the same clock and no prefix caching: it must complete and preempt as many. Its
manager does more than ours in a call (watermarks, hashes, several groups), and is Python.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from figure import run
from machine import add_output_option, machine, write

from kvprof.model import named_model
from kvprof.replay.pace import Pace
from kvprof.replay.run import longest_request
from kvprof.replay_result import ReplayResult
from kvprof.units import parse_bytes
from kvprof.workload.trace import Trace, open_trace


def replayed(
    trace: Trace, arguments: argparse.Namespace, longest: int, **pace: Any
) -> ReplayResult:
    """One replay of the trace."""
    return run(
        named_model(arguments.model),
        arguments.engine,
        trace,
        arguments.memory,
        pace=Pace(**pace),
        longest=longest,
        block_size=arguments.block_size,
    )


def figures(results: list[ReplayResult]) -> dict[str, Any]:
    """The median of repeated replays."""
    seconds = statistics.median(result.seconds for result in results)
    first = results[0]
    return {
        "seconds": seconds,
        "fastest_seconds": min(result.seconds for result in results),
        "requests_per_s": first.requests.total / seconds,
        "tokens_per_s": first.appended_tokens / seconds,
        "block_operations": first.block_operations,
        "block_operations_per_s": first.block_operations / seconds,
        "completed": first.requests.completed,
        "preemptions": first.requests.preemptions,
        "appended_tokens": first.appended_tokens,
        "hit_rate": first.hit_rate,
        "samples": len(results),
    }


def of_vllm(trace: Trace, arguments: argparse.Namespace, longest: int) -> dict[str, Any]:
    """The same requests through vLLM's manager."""
    from vllm_manager import drive, load, manager_of, steps  # noqa: PLC0415

    load(arguments.vllm)
    block_bytes = 32 * 4096 * arguments.block_size  # of Llama 3 8B: 128 KiB a token
    manager = manager_of(arguments.memory // block_bytes, arguments.block_size, longest)
    (batch,) = trace.batches()
    return drive(
        manager,
        steps(batch.arrival_s, Pace().decode_tokens_per_s),
        batch.prompt_tokens.tolist(),
        batch.output_tokens.tolist(),
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path, help="the first half of Mooncake's conversation trace")
    parser.add_argument("--model", default="llama-3-8b")
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--block-size", type=int, default=16)
    parser.add_argument("--memory", type=parse_bytes, default=parse_bytes("60GiB"))
    parser.add_argument("--vllm", type=Path, help="an unpacked source distribution of vLLM 0.33.0")
    parser.add_argument("--repeats", type=int, default=5)
    add_output_option(parser)
    arguments = parser.parse_args()
    kinds: dict[str, dict[str, Any]] = {
        "block to block": {"jumps": True},
        "token by token": {"jumps": False},
        "with prefix caching": {"jumps": True, "prefix_cache": True},
    }
    result: dict[str, Any] = {"machine": machine(), "memory_bytes": arguments.memory}
    with open_trace([arguments.trace]) as trace:
        longest = longest_request(trace)
        for kind, pace in kinds.items():
            runs = [replayed(trace, arguments, longest, **pace) for _ in range(arguments.repeats)]
            result[kind] = figures(runs)
        if arguments.vllm:
            result["vLLM's manager"] = of_vllm(trace, arguments, longest)
    print_table(result)
    write(result, arguments.output)


def print_table(result: dict[str, Any]) -> None:
    """A line of each kind."""
    head = f"{'':<22}{'seconds':>10}{'requests/s':>13}{'tokens/s':>14}{'block ops/s':>14}"
    lines = [str(result["machine"]), f"{head}{'preempted':>11}"]
    ours = result["token by token"]["seconds"]
    for kind, found in result.items():
        if not isinstance(found, dict) or "seconds" not in found:
            continue
        seconds = found["seconds"]
        operations = found.get("block_operations_per_s")
        lines.append(
            f"{kind:<22}{seconds:>10.4f}{found['completed'] / seconds:>13,.0f}"
            f"{found['appended_tokens'] / seconds:>14,.0f}"
            f"{'' if operations is None else format(operations, ',.0f'):>14}"
            f"{found['preemptions']:>11,}"
        )
    if theirs := result.get("vLLM's manager"):
        lines.append(f"token by token, {theirs['seconds'] / ours:.0f} times vLLM's manager")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
