"""What others do with the same memory: NumPy's sum and take, libc's memcpy, small pages."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from cpu_streams import Bench, compared, copy_plan, fastest, gather_plan, page_plan
from numpy.typing import NDArray

from kvprof import _core
from kvprof.measure.passes import Pass

GATHER_PAGE_BYTES = 16 * 1024
PAGES = [1024, 4096, 16 * 1024, 64 * 1024]


def numpy_sum(bench: Bench) -> tuple[Callable[[], Pass], Callable[[], None]]:
    """One pass of ``numpy.sum`` over the memory on as many pinned threads; and how to end them."""
    words = np.frombuffer(bench.memory, np.uint64)
    cpus = bench.backend.cpus
    parts = np.array_split(words, len(cpus))
    ready = threading.Barrier(len(cpus))
    pool = ThreadPoolExecutor(len(cpus))

    def work(cpu: int, part: NDArray[np.uint64]) -> tuple[float, float]:
        os.sched_setaffinity(0, {cpu})
        ready.wait()
        begin = time.perf_counter()
        part.sum()
        return begin, time.perf_counter()

    def run() -> Pass:
        done = [pool.submit(work, cpu, part) for cpu, part in zip(cpus, parts, strict=True)]
        begins, ends = zip(*(one.result() for one in done), strict=True)
        return Pass(max(ends) - min(begins), words.nbytes, 0.0, 0.0)

    return run, pool.shutdown


def contiguous_read(bench: Bench, tops: dict[str, dict[str, float]]) -> dict[str, Any]:
    """A read of contiguous 64 KiB pages against the best of NumPy's sum and the loops.

    ``page`` is the loop that is unrolled by hand over the widest vectors, ``plain_loop`` what the
    compiler makes of a loop over words.
    """
    backend, memory = bench.backend, bench.memory
    plan = page_plan(65536, np.arange(bench.pages(65536)))
    variant = next(iter(fastest(lambda v: backend.decode_read(memory, plan, v), _reads(bench))))
    numpy_run, stop = numpy_sum(bench)
    others: dict[str, Callable[[], Any]] = {"numpy_sum": numpy_run}
    for name in ("page", "plain_loop", next(iter(tops["read"]))):
        others[name] = _ceiling(bench, name)
    found = {
        name: compared(bench, lambda: backend.decode_read(memory, plan, variant), other)
        for name, other in others.items()
    }
    stop()
    best = min(found, key=lambda name: found[name]["ratio"])
    return {"variant": variant, "best": best, "ratio": found[best]["ratio"], "against": found}


def _reads(bench: Bench) -> list[str]:
    return bench.backend.variants("decode_read")


def _ceiling(bench: Bench, variant: str) -> Callable[[], _core.StreamResult]:
    return lambda: bench.backend.ceiling(bench.memory, "read", variant, 0, bench.memory.nbytes)


def against_memcpy(bench: Bench) -> dict[str, Any]:
    """``block_copy`` of scattered pages against libc's memcpy of the same pages."""
    backend, memory = bench.backend, bench.memory
    found = {}
    for page_bytes in (GATHER_PAGE_BYTES, 65536, 524288):
        plan = copy_plan(bench, page_bytes)
        by_variant = fastest(
            lambda variant, plan=plan: backend.block_copy(memory, plan, variant),
            backend.variants("block_copy"),
        )
        best = next(name for name in by_variant if name != "memcpy")
        found[str(page_bytes)] = {"variant": best} | compared(
            bench,
            lambda plan=plan, best=best: backend.block_copy(memory, plan, best),
            lambda plan=plan: backend.block_copy(memory, plan, "memcpy"),
        )
    return found


def against_take(bench: Bench) -> dict[str, Any]:
    """A gather of scattered 16 KiB pages into one place on one thread, against ``numpy.take``."""
    backend = _core.CpuBackend(bench.backend.cpus[:1])
    plan = gather_plan(bench, GATHER_PAGE_BYTES)
    count = plan.nbytes // GATHER_PAGE_BYTES
    pages = np.frombuffer(bench.memory, np.uint8)[
        : bench.pages(GATHER_PAGE_BYTES) * GATHER_PAGE_BYTES
    ]
    pages = pages.reshape(-1, GATHER_PAGE_BYTES)
    into = np.frombuffer(bench.host, np.uint8)[: plan.nbytes].reshape(count, GATHER_PAGE_BYTES)
    order = bench.rng.permutation(len(pages))[:count]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(backend.cpus))

    def take() -> Pass:
        begin = time.perf_counter()
        np.take(pages, order, axis=0, out=into, mode="clip")
        return Pass(time.perf_counter() - begin, 2 * plan.nbytes, 0.0, 0.0)

    by_variant = fastest(
        lambda variant: backend.swap(bench.memory, bench.host, plan, variant),
        backend.variants("swap"),
    )
    best = next(iter(by_variant))
    found = compared(bench, lambda: backend.swap(bench.memory, bench.host, plan, best), take)
    os.sched_setaffinity(0, allowed)
    return {"page_bytes": GATHER_PAGE_BYTES, "variant": best, "threads": 1, **found}


def small_pages(bench: Bench, plain: _core.Memory) -> dict[str, Any]:
    """The same scattered reads in memory of 4 KiB pages, against memory of 2 MiB pages."""
    backend = bench.backend
    found = {}
    for page_bytes in PAGES:
        order = bench.rng.permutation(min(plain.nbytes, bench.memory.nbytes) // page_bytes)
        plan = page_plan(page_bytes, order)
        by_variant = fastest(
            lambda variant, plan=plan: backend.decode_read(plain, plan, variant), _reads(bench)
        )
        in_small = next(iter(by_variant))
        by_variant = fastest(
            lambda variant, plan=plan: backend.decode_read(bench.memory, plan, variant),
            _reads(bench),
        )
        in_huge = next(iter(by_variant))
        found[str(page_bytes)] = {"small": in_small, "huge": in_huge} | compared(
            bench,
            lambda plan=plan, best=in_small: backend.decode_read(plain, plan, best),
            lambda plan=plan, best=in_huge: backend.decode_read(bench.memory, plan, best),
        )
    return found
