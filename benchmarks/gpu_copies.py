"""Copies within the GPU, zeros, and swaps with the host; CuPy beside them where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from cpu_streams import Order, fastest, page_plan
from gpu_bench import KIB, MIB, Bench, best_compared, compared
from gpu_streams import Row

from kvprof import _core
from kvprof.measure.passes import Pass

MOVE_PAGES = [576, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB]
GATHER_PAGES = [4 * KIB, 16 * KIB, 64 * KIB]
SWAP_PAGES = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB]
HOST_BYTES = 256 * MIB
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
    """Scattered pages to the host and back by every variant, against one copy of all bytes."""
    backend, effort = bench.backend, bench.effort
    size = min(effort.bytes(HOST_BYTES), bench.nbytes // 4)
    host = backend.allocate_host(size)
    try:
        backend.fill(host, 0, size, 4)
        for page_bytes in SWAP_PAGES:
            count = min(size // page_bytes, MOST_SWAPPED_PAGES)
            here = page_plan(page_bytes, bench.rng.choice(bench.pages(page_bytes), count, False))
            there = page_plan(page_bytes, np.arange(count))
            yield _swap(bench, bench.memory, host, _core.CopyPlan(here, there), page_bytes, "out")
            yield _swap(bench, host, bench.memory, _core.CopyPlan(there, here), page_bytes, "in")
    finally:
        host.release()


def _swap(
    bench: Bench,
    source: _core.Memory,
    target: _core.Memory,
    plan: _core.CopyPlan,
    page_bytes: int,
    direction: str,
) -> Row:
    backend = bench.backend
    whole = page_plan(plan.nbytes, np.arange(1))
    one_copy = _core.CopyPlan(whole, whole)
    variants = backend.variants("swap")
    top = next(iter(fastest(lambda v: backend.swap(source, target, one_copy, v), variants)))

    def run(variant: str) -> _core.StreamResult:
        return backend.swap(source, target, plan, variant)

    ceiling = partial(backend.swap, source, target, one_copy, top)
    by_variant = {name: compared(bench, partial(run, name), ceiling) for name in variants}
    best = max(by_variant, key=lambda name: float(by_variant[name]["ratio"]))
    row = {
        "op": f"swap_{direction}",
        "run_bytes": page_bytes,
        "bytes": plan.nbytes,
        "ceiling_variant": top,
        "variant": best,
        "variants": by_variant,
        "times_per_block": None,
    } | by_variant[best]
    if best != "per_block" and "per_block" in variants:
        row["times_per_block"] = compared(bench, partial(run, best), partial(run, "per_block"))
    return row
