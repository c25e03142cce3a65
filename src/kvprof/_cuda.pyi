"""The CUDA backend. Imports without a driver; absent when it was built without nvcc."""

from typing import final

from kvprof._core import Backend, DeviceFacts

EMULATED: bool
"""Whether its device is one that the tests emulate on the CPU."""

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

def range_push(name: str, nbytes: int = 0) -> None:
    """Open an NVTX range of the domain ``kvprof``, with bytes as its payload."""

def range_pop() -> None:
    """Close the range that was opened last."""

@final
class CudaBackend(Backend):
    """A CUDA device.

    Its memories cannot be addressed by the host (``Memory.on_host`` is false), but for those of
    ``allocate_host``, which are pinned. Swaps between the two count their bytes once. It has no
    ``cpus``, and its operations no interruptions.

    Parameters
    ----------
    index
        The device, as CUDA counts those that this process may see.
    blocking
        Whether a kernel holds launches back until all of a pass are queued, so that what it takes
        to launch them is not timed; not under a tool that profiles kernels one by one.

    Raises
    ------
    IndexError
        When there is no such device; the message says why.
    DeviceFault
        When the driver refuses it.
    """

    def __init__(self, index: int = 0, *, blocking: bool = True) -> None: ...
