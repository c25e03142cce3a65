"""Copies within the GPU, zeros, and swaps with the host; CuPy beside them where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from cpu_streams import Order, page_plan
from gpu_bench import KIB, MIB, Bench, best_compared, compared
from gpu_link import PLAIN_COPY, Link, linked
from gpu_streams import Row

from kvprof import _core
from kvprof.measure.ceilings import Link as Direction
from kvprof.measure.passes import Pass

MOVE_PAGES = [576, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB]
GATHER_PAGES = [4 * KIB, 16 * KIB, 64 * KIB]
SWAP_PAGES = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB]
SWAPPED_BYTES = 256 * MIB
MOST_SWAPPED_PAGES = 8192
"""Copies of one page each cost microseconds: a swap of more of them would tell no more."""
NO_CUPY = "cupy not installed"
TAKE_DTYPES = ("uint8", "uint64", "complex128")
"""A gather of CuPy moves one element at a time; the fastest width is the baseline."""


def zeros_and_copies(bench: Bench) -> Iterator[Row]:
    """Pages in any order, zeroed, and one half of them copied to the other."""
    backend, memory = bench.backend, bench.memory
    for page_bytes in MOVE_PAGES:
        pages = bench.shuffled(page_bytes)
        zeroed, copied = page_plan(page_bytes, pages), _halves(page_bytes, pages)

        def zero(variant: str, plan: _core.PagePlan = zeroed) -> _core.StreamResult:
            return backend.zero(memory, plan, variant)

        def copy(variant: str, plan: _core.CopyPlan = copied) -> _core.StreamResult:
            return backend.block_copy(memory, plan, variant)

        about = {"run_bytes": page_bytes, "order": "shuffled"}
        against = bench.ceiling("write")
        found = best_compared(bench, zero, backend.variants("zero"), against)
        yield {"op": "zero", "ceiling": "write"} | about | found
        against = bench.ceiling("copy")
        found = best_compared(bench, copy, backend.variants("block_copy"), against)
        yield {"op": "block_copy", "ceiling": "copy"} | about | found


def _halves(page_bytes: int, pages: Order) -> _core.CopyPlan:
    half = len(pages) // 2
    source, target = pages[:half], pages[half : 2 * half]
    return _core.CopyPlan(page_plan(page_bytes, source), page_plan(page_bytes, target))


def gathers(bench: Bench) -> Iterator[Row]:
    """Pages of one half of the memory, in any order, into a dense buffer in the other."""
    backend, memory = bench.backend, bench.memory
    for page_bytes in GATHER_PAGES:
        half = bench.pages(page_bytes) // 2
        order = bench.rng.permutation(half)
        plan = _core.CopyPlan(
            page_plan(page_bytes, order), page_plan(page_bytes, np.arange(half, 2 * half))
        )

        def run(variant: str, plan: _core.CopyPlan = plan) -> _core.StreamResult:
            return backend.block_copy(memory, plan, variant)

        variants = backend.variants("block_copy")
        found = best_compared(bench, run, variants, bench.ceiling("copy"))
        best = found["variant"]
        baselines, why_none = _baselines(bench, page_bytes, half, order)
        against = {
            name: compared(bench, partial(run, best), baseline)
            for name, baseline in baselines.items()
        }
        yield {
            "op": "gather",
            "run_bytes": page_bytes,
            "cupy": _fastest_take(against) if against else why_none,
            "against": against,
        } | found


def _fastest_take(against: dict[str, Any]) -> str:
    """The take that we are least faster than."""
    takes = [name for name in against if name.startswith("take")]
    return min(takes, key=lambda name: float(against[name]["ratio"]))


def _baselines(
    bench: Bench, page_bytes: int, half: int, order: Order
) -> tuple[dict[str, Callable[[], Pass]], str]:
    """CuPy's ways to do the same, or why there are none."""
    if bench.memory.on_host:
        return {}, "cupy reads no memory of the host"
    try:
        found = _cupy_baselines(import_module("cupy"), bench, page_bytes, half, order)
        for run in found.values():
            run()
    except ImportError:
        return {}, NO_CUPY
    except Exception as error:  # its wheel may not fit this driver, which only a launch shows
        return {}, f"cupy failed: {type(error).__name__}: {error}".splitlines()[0]
    return found, ""


def _cupy_baselines(
    cupy: Any, bench: Bench, page_bytes: int, half: int, order: Order
) -> dict[str, Callable[[], Pass]]:
    """CuPy's take, copyto and a plain device copy of the same bytes."""
    pool = cupy.asarray(bench.memory)
    half_bytes = half * page_bytes
    source, target = pool[:half_bytes], pool[half_bytes : 2 * half_bytes]
    ids = cupy.asarray(order)
    found: dict[str, Callable[[], Pass]] = {}
    for name in TAKE_DTYPES:
        if page_bytes % np.dtype(name).itemsize:
            continue
        pages, into = (
            part.view(name).reshape(-1, page_bytes // np.dtype(name).itemsize)
            for part in (source, target)
        )

        def take(pages: Any = pages, into: Any = into) -> None:
            cupy.take(pages, ids, axis=0, out=into)

        found[f"take {name}"] = _timed(cupy, take, 2 * half_bytes)
    dense, wide = source.view("complex128"), target.view("complex128")
    stream = cupy.cuda.get_current_stream().ptr

    def copy() -> None:
        cupy.cuda.runtime.memcpyAsync(target.data.ptr, source.data.ptr, half_bytes, 3, stream)

    found["copyto"] = _timed(cupy, lambda: cupy.copyto(wide, dense), 2 * half_bytes)
    found["device copy"] = _timed(cupy, copy, 2 * half_bytes)
    return found


def _timed(cupy: Any, launch: Callable[[], None], nbytes: int) -> Callable[[], Pass]:
    """One launch between two events, queued behind another: its latency stays outside."""

    def run() -> Pass:
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        launch()
        start.record()
        launch()
        end.record()
        end.synchronize()
        return Pass(cupy.cuda.get_elapsed_time(start, end) / 1e3, nbytes, 0.0, 0.0)

    return run


def swaps(bench: Bench) -> Iterator[Row]:
    """Scattered pages to the host and back, against one plain copy of 2 GiB in that direction."""
    size = min(bench.effort.bytes(SWAPPED_BYTES), bench.nbytes // 4)
    with linked(bench) as link:
        for page_bytes in SWAP_PAGES:
            count = min(size, link.host.nbytes) // page_bytes
            count = min(count, MOST_SWAPPED_PAGES)
            here = page_plan(page_bytes, bench.rng.choice(bench.pages(page_bytes), count, False))
            there = page_plan(page_bytes, np.arange(count))
            yield _swap(link, "device_to_host", _core.CopyPlan(here, there), page_bytes)
            yield _swap(link, "host_to_device", _core.CopyPlan(there, here), page_bytes)


def _swap(link: Link, direction: Direction, plan: _core.CopyPlan, page_bytes: int) -> Row:
    bench, backend = link.bench, link.bench.backend
    out = direction == "device_to_host"
    source, target = (bench.memory, link.host) if out else (link.host, bench.memory)

    def run(variant: str) -> _core.StreamResult:
        return backend.swap(source, target, plan, variant)

    variants = backend.variants("swap")
    found = best_compared(bench, run, variants, link.ceiling(direction))
    best = found["variant"]
    times = None
    if best != PLAIN_COPY and PLAIN_COPY in variants:
        times = compared(bench, partial(run, best), partial(run, PLAIN_COPY))
    return {
        "op": "swap_out" if out else "swap_in",
        "ceiling": direction,
        "run_bytes": page_bytes,
        "bytes": plan.nbytes,
        "times_per_block": times,
    } | found
