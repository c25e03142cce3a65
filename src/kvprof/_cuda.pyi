"""The CUDA backend. Imports without a driver; absent when it was built without nvcc."""

from kvprof._core import DeviceFacts

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
