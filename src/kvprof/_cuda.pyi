"""The CUDA backend. Imports without a driver; absent when it was built without nvcc."""

from typing import final

@final
class DeviceFacts:
    """What the driver tells of a device; the fields are those of ``_core.DeviceFacts``."""

    name: str
    backend: str
    instruction_set: str
    """The compute capability, e.g. ``sm_90``."""
    compute_units: int
    """Streaming multiprocessors."""
    memory_bytes: int
    last_level_cache_bytes: int
    bus_peak_bytes_per_s: float | None
    """2 x memory clock x bus width, from the device's attributes."""

def runtime_version() -> tuple[int, int]:
    """The CUDA runtime that this module was built with: major, minor."""

def driver_version() -> tuple[int, int] | None:
    """The newest CUDA that the installed driver serves; None without a driver."""

def unavailable_reason() -> str | None:
    """Why no device can be used, in plain words; None when one can."""

def device_count() -> int:
    """Devices that can be used; 0 when none can."""

def device_facts(index: int) -> DeviceFacts:
    """Facts of a device.

    Raises
    ------
    IndexError
        When there is no such device; the message says why.
    RuntimeError
        When the driver refuses to tell.
    """
