"""What a device could not do in, an error that says what to try next out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvprof._core import Backend, DeviceFault, OutOfBlocks
from kvprof.device import own_memory
from kvprof.errors import DeviceError


@contextmanager
def explained(backend: Backend) -> Iterator[None]:
    """Whatever a verb does with a device.

    Raises
    ------
    DeviceError
        In place of a MemoryError and of a DeviceFault.
    """
    try:
        yield
    except OutOfBlocks:
        raise  # a pool's, which has nothing to do with the memory that is free
    except MemoryError as error:
        raise _out_of_memory(backend, error) from error
    except DeviceFault as error:
        raise DeviceError(
            f"the device failed: {error}", hint="`kvprof doctor` says what it is like now."
        ) from error


def _out_of_memory(backend: Backend, error: MemoryError) -> DeviceError:
    others = ", or end what else uses the device" if own_memory(backend) else ""
    return DeviceError(f"out of memory: {error}", hint=f"Try a smaller --stream-memory{others}.")
