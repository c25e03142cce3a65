"""What is being done, as ranges that a profiler of the device shows (NVTX, domain ``kvprof``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def phase(name: str, nbytes: int = 0) -> Iterator[None]:
    """A range around what happens inside, with bytes as its payload.

    Nothing on the CPU: ranges are of the CUDA module, which is loaded for a CUDA device alone.
    """
    cuda = sys.modules.get("kvprof._cuda")
    if cuda is None:
        yield
        return
    cuda.range_push(name, nbytes)
    try:
        yield
    finally:
        cuda.range_pop()
