"""A memory of a device in, the same bytes as an array of another library out, without a copy."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kvprof._core import Memory
from kvprof.errors import DeviceError, UsageError


def as_cupy(memory: Memory) -> Any:
    """All bytes of a CUDA device's memory as a ``cupy.ndarray`` of ``uint8``, ``[nbytes]``.

    The array and the memory are the same bytes: what one writes the other reads. While the array
    lives, ``memory.release()`` raises BufferError. kvprof's operations are done when they return;
    synchronise CuPy's own work (``cupy.cuda.Stream.synchronize``) before the next of them.

    Raises
    ------
    UsageError
        When the memory lies on the host, where ``numpy.asarray(memory)`` views it.
    DeviceError
        When CuPy is not installed, or cannot be used here.

    Examples
    --------
    ::

        device = open_device("cuda:0")
        pool = device.allocate(1 << 30)
        pages = as_cupy(pool).view(cupy.float16).reshape(-1, 16, 8, 128)
    """
    if memory.on_host:
        raise UsageError(
            "the memory lies on the host, and a cupy.ndarray on a device",
            hint="numpy.asarray(memory) is a view of it.",
        )
    return _cupy().from_dlpack(memory)


def _cupy() -> Any:
    try:
        return import_module("cupy")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        why = "is not installed" if missing else f"cannot be used: {error}"
        raise DeviceError(
            f"CuPy {why}",
            hint="pip install 'kvprof[cuda12]' or 'kvprof[cuda13]', as the driver's CUDA is.",
        ) from None
