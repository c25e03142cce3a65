"""The device axis: backends by name, and what each says of its devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from kvprof._core import Backend
from kvprof.errors import DeviceError, UsageError
from kvprof.result import DeviceRow
from kvprof.units import format_bytes

BACKENDS = ("cpu", "cuda")


def open_device(name: str, cpus: Sequence[int] | None = None) -> Backend:
    """The backend of a device: ``cpu``, ``cuda`` or ``cuda:1``.

    Raises
    ------
    UsageError
        When no backend has that name.
    DeviceError
        When the backend is not available here; the message says why.
    """
    kind, _, index = name.partition(":")
    if kind not in BACKENDS or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise UsageError(
            f"--device is {name[:40]!r}, which is no device", hint="Known: cpu, cuda, cuda:N."
        )
    if kind == "cuda":
        row = _cuda_rows()[0]
        why = row.description if not row.available else "its stream operations are not built yet"
        raise DeviceError(f"{name} cannot be profiled: {why}", hint="Try --device cpu.")
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
    rows = []
    for index in range(cuda.device_count()):
        facts = cuda.device_facts(index)
        text = f"{facts.name}, {facts.compute_units} multiprocessors, {facts.instruction_set}"
        rows.append(DeviceRow(f"cuda:{index}", "cuda", True, text, facts.memory_bytes))
    return rows
