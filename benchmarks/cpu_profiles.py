"""Whole profiles, as a user runs them: the grid, the memory orders, and how steady they are."""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

GRID = ("--sequences", "1,8,64", "--tokens", "512,4k,32k")
GRID_MODEL = "falcon-7b"
ORDER_MODEL = "llama-3-8b"
ORDERS = ("--page-order", "nhd,hnd", "--kv", "packed,apart", "--outer", "layer,block")
STEADY_ARCH = "mla"
WITHIN = 0.05


def profile(*arguments: str, timeout: float | None = None) -> dict[str, Any]:
    """The JSON of ``kvprof profile``, without raw samples."""
    command = [sys.executable, "-m", "kvprof", "profile", *arguments, "--format", "json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=timeout)
    document: dict[str, Any] = json.loads(done.stdout)
    for result in document["results"]:
        for stream in result["streams"]:
            stream["seconds"]["samples"] = len(stream["seconds"]["samples"])
            del stream["ceiling_seconds"]
    return document


def grid() -> list[dict[str, Any]]:
    """Reads in four orders and the step's time, over batch and context; those that fit."""
    document = profile("--model", GRID_MODEL, *GRID, "--stream-memory", "7GiB")
    return [
        {
            "sequences": result["sequences"],
            "tokens": result["tokens"],
            "step_seconds": result["step"]["seconds"],
            "bytes": result["step"]["bytes_read"],
            "orders": {
                s["order"]: {key: s[key] for key in ("bytes_per_s", "ratio_to_ceiling", "noisy")}
                for s in result["streams"]
                if s["op"] == "decode_read"
            },
        }
        for result in document["results"]
    ]


def memory_orders() -> list[dict[str, Any]]:
    """What append, copies and swaps reach in each memory order, and the length of their runs."""
    operations = ("--operations", "decode_read,append,block_copy,swap_out,swap_in")
    document = profile("--model", ORDER_MODEL, *ORDERS, *operations, "--tokens", "1k")
    kept = ("op", "order", "tokens", "run_bytes", "bytes_per_s", "ratio_to_ceiling", "variant")
    return [
        result["memory_order"]
        | {"streams": [{key: s[key] for key in (*kept, "noisy")} for s in result["streams"]]}
        for result in document["results"]
    ]


@contextmanager
def loaded(cpu: int | None) -> Iterator[None]:
    """Another process keeps one core busy meanwhile; none where ``cpu`` is None."""
    if cpu is None:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=_spin, args=(cpu,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _spin(cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    while True:
        pass


def steady(runs: int, cpu: int | None) -> dict[str, Any]:
    """The same profile several times: how far each stream's ratios are apart, and what is noisy.

    A stream is right when its ratios lie within 5 % of their median, or each run that lies outside
    says ``noisy``.
    """
    with loaded(cpu):
        results = [profile("--arch", STEADY_ARCH)["results"][0] for _ in range(runs)]
    streams: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        for stream in result["streams"]:
            key = (stream["op"], stream["order"], stream["tokens"])
            streams.setdefault(key, []).append(stream)
    rows = [_steadiness(key, found) for key, found in streams.items()]
    return {
        "runs": runs,
        "loaded_cpu": cpu,
        "load_average": os.getloadavg(),
        "streams": rows,
        "all_right": all(row["right"] for row in rows),
    }


def _steadiness(key: tuple[Any, ...], found: list[dict[str, Any]]) -> dict[str, Any]:
    ratios = [stream["ratio_to_ceiling"] for stream in found]
    quiet = [stream["ratio_to_ceiling"] for stream in found if not stream["noisy"]]
    middle = statistics.median(quiet or ratios)
    op, order, tokens = key
    return {
        "op": op,
        "order": order,
        "tokens": tokens,
        "ratios": ratios,
        "noisy": [stream["noisy"] for stream in found],
        "spread": max(abs(ratio / middle - 1) for ratio in ratios),
        "spread_of_quiet": max((abs(ratio / middle - 1) for ratio in quiet), default=None),
        "variants": [stream["variant"] for stream in found],
        "dropped": [stream["dropped"] for stream in found],
        "disturbed": [sum(stream["disturbed"].values()) for stream in found],
        "bytes_per_s": [stream["bytes_per_s"] for stream in found],
        "right": all(abs(ratio / middle - 1) <= WITHIN for ratio in quiet),
    }
