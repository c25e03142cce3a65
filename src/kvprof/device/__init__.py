"""The device axis: backends by name, and what each says of its devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from kvprof._core import Backend
from kvprof.errors import DeviceError, UsageError
from kvprof.listing_result import DeviceRow
from kvprof.units import format_bytes

BACKENDS = ("cpu", "cuda")


def open_device(name: str, cpus: Sequence[int] | None = None, *, blocking: bool = True) -> Backend:
    """The backend of a device: ``cpu``, ``cuda`` or ``cuda:1``.

    ``cpus`` are those of the CPU's threads. ``blocking`` is a CUDA device's: whether a kernel holds
    launches back until all are queued.

    Raises
    ------
    UsageError
        When no backend has that name, or is driven by threads that can be chosen.
    DeviceError
        When the backend is not available here, or has no such device; the message says why.
    """
    kind, _, index = name.partition(":")
    if kind not in BACKENDS or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise UsageError(
            f"--device is {name[:40]!r}, which is no device", hint="Known: cpu, cuda, cuda:N."
        )
    if kind == "cpu":
        return _open_cpu(cpus)
    if cpus is not None:
        raise UsageError(
            f"--threads and --cpus are about the CPU, and --device is {name!r}",
            hint="Leave them out, or give --device cpu.",
        )
    return _open_cuda(name, int(index or 0), blocking)


def own_memory(backend: Backend) -> bool:
    """Whether the device has memory of its own, which the host cannot address."""
    return backend.facts.backend != "cpu"


def emulated(backend: Backend) -> bool:
    """Whether it is the device that the tests emulate, whose times say nothing of any device."""
    return own_memory(backend) and bool(import_module("kvprof._cuda").EMULATED)


def _open_cpu(cpus: Sequence[int] | None) -> Backend:
    core = import_module("kvprof._core")
    try:
        backend: Backend = core.CpuBackend(cpus)
    except ValueError as error:
        raise UsageError(
            f"the CPU backend cannot be opened: {error}",
            hint="--cpus takes CPUs that this process may use; KVPROF_INSTRUCTION_SET one of "
            "baseline, avx2 and avx512 that this machine has.",
        ) from None
    return backend


def _open_cuda(name: str, index: int, blocking: bool) -> Backend:
    rows = _cuda_rows()
    row = rows[min(index, len(rows) - 1)]
    if not row.available:
        raise DeviceError(f"{name} cannot be profiled: {row.description}", hint="Try --device cpu.")
    if index >= len(rows):
        raise DeviceError(
            f"{name} does not exist; there is {', '.join(row.name for row in rows)}",
            hint="CUDA_VISIBLE_DEVICES may hide others.",
        )
    try:
        backend: Backend = import_module("kvprof._cuda").CudaBackend(index, blocking=blocking)
    except (IndexError, MemoryError, RuntimeError) as error:
        raise DeviceError(
            f"{name} cannot be opened: {error}",
            hint="`kvprof doctor` and nvidia-smi say what state the driver is in.",
        ) from None
    return backend


def device_rows() -> list[DeviceRow]:
    """Every device, and the reason of every backend that has none."""
    return [_cpu_row(), *_cuda_rows()]


def _cpu_row() -> DeviceRow:
    facts = open_device("cpu").facts
    text = (
        f"{facts.name}, {facts.compute_units} threads, {facts.instruction_set}, "
        f"{format_bytes(facts.last_level_cache_bytes)} last-level cache"
    )
    return DeviceRow("cpu", "cpu", True, text, facts.memory_bytes)


def _cuda_rows() -> list[DeviceRow]:
    try:
        cuda = import_module("kvprof._cuda")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        why = "kvprof was built without CUDA (no nvcc was found)" if missing else str(error)
        return [DeviceRow("cuda", "cuda", False, why, None)]
    if reason := cuda.unavailable_reason():
        return [DeviceRow("cuda", "cuda", False, reason, None)]
    return [_cuda_row(cuda, index) for index in range(cuda.device_count())]


def _cuda_row(cuda: Any, index: int) -> DeviceRow:
    try:
        facts = cuda.device_facts(index)
    except (IndexError, RuntimeError) as error:
        return DeviceRow(f"cuda:{index}", "cuda", False, str(error), None)
    text = f"{facts.name}, {facts.compute_units} multiprocessors, {facts.instruction_set}"
    return DeviceRow(f"cuda:{index}", "cuda", True, text, facts.memory_bytes)
