"""What was measured in, what limits the figures out, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvprof.device import emulated
from kvprof.layout import CacheLayout
from kvprof.measure.derived import step_streams
from kvprof.measure.fragmentation import Aged
from kvprof.measure.jobs import Streamed, Workbench
from kvprof.operations import STEP_OPERATIONS
from kvprof.units import format_bytes


def left_out_of_the_step(operations: frozenset[str], layout: CacheLayout) -> Iterator[str]:
    """What the decode step needs and nobody asked to time."""
    streams = step_streams(layout, 1)
    missing = {best for _, (best, *others) in streams if not {best, *others} & operations}
    if missing:
        yield (
            f"not timed by --operations: {', '.join(filter(missing.__contains__, STEP_OPERATIONS))}"
            "; where the decode step needs one of them it takes its ceiling"
        )


def warnings(
    bench: Workbench, aged: Aged, streams: Sequence[Streamed], dropped: Sequence[str]
) -> Iterator[str]:
    """How the memory, the machine and the time fell short; ``dropped`` are jobs not timed."""
    yield from _of_the_device(bench)
    yield from _of_the_traffic(aged)
    yield from _of_the_samples(bench, streams)
    if dropped:
        yield (
            f"not measured within --time-budget: {'; '.join(dropped)}; where the decode step needs "
            "one of them it takes its ceiling"
        )


def _of_the_traffic(aged: Aged) -> Iterator[str]:
    """How far the pool could take it."""
    if not aged.requests["live"]:
        yield (
            "no request was live when the traffic stopped: the pool is too small for it to tell "
            "fragmentation; give a larger --stream-memory or fewer --tokens"
        )
    found = aged.trace_requests
    if found and found.rejected:
        yield (
            f"{found.rejected:,} of the trace's {found.total:,} requests could never fit the pool "
            "that is streamed and were rejected; give a larger --stream-memory"
        )


def _of_the_device(bench: Workbench) -> Iterator[str]:
    """What kept it, or its memory, from telling enough."""
    if emulated(bench.backend):
        yield (
            "the device is emulated by the CPU: times, rates and ratios are the emulator's, and "
            "say nothing of a device"
        )
    if not all(bench.backend.pinned):
        yield "threads could not be pinned to their CPUs: the system may move them about"
    pool = bench.pool
    if pool.nbytes + pool.ceiling_bytes + pool.sources.nbytes < pool.least_bytes:
        yield (
            f"the memory streamed is less than {format_bytes(pool.least_bytes)}, many times the "
            "last-level cache: caches may have served a part of it; give a larger --stream-memory"
        )


def _of_the_samples(bench: Workbench, streams: Sequence[Streamed]) -> Iterator[str]:
    """How far they can be relied on."""
    if not bench.effort.measures:
        yield (
            "--profiler-safe: each operation was timed by one pass of its first variant, beside "
            "one of its ceiling, with no caches flushed; no variants were compared, and no rate, "
            "ratio or step is a measurement"
        )
    noisy = sum(stream.paired.noisy for stream in streams)
    if noisy and bench.effort.measures:
        yield (
            f"{noisy} of {len(streams)} streams are noisy: their ceiling, or their ratio, is not "
            "known to 5 %; compare ratios with care, give a longer --time-budget, or run again on "
            "a quieter machine"
        )
    disturbed = sum(sum(stream.paired.disturbed.values()) for stream in streams)
    left_out = sum(stream.paired.dropped for stream in streams)
    if disturbed:
        yield (
            f"{disturbed} samples were interrupted or throttled, of which {left_out} were left out"
        )
