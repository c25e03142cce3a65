"""Pages and runs in, the sum of their 64-bit words out, by NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kvprof.measure.host_pages import HostPages, Pages
from kvprof.measure.regions import Region
from kvprof.measure.tables import Runs

WRAP = 2**64
_WORD = 8
_GATHER_BYTES = 2**20


def checksum(pages: HostPages, region: Region, runs: Runs) -> int:
    """The sum, modulo 2**64, of the 64-bit words of every run in every layer.

    The last bytes of a run, which in each segment is one of its own, are extended with zeros to a
    word. The pages must have the runs' blocks.
    """
    total = 0
    for rows in np.unique(runs[:, 2]):
        some = runs[runs[:, 2] == rows]
        places = pages.places(some[:, 0])
        for layer in pages.layers:
            for segment in region.segments:
                for gathered in _runs(layer, segment, places, some[:, 1], int(rows)):
                    total += sum_words(gathered)
    return total % WRAP


def _runs(
    layer: Pages,
    segment: tuple[int, int],
    places: NDArray[np.int64],
    first: NDArray[np.uint32],
    rows: int,
) -> Iterator[NDArray[np.uint8]]:
    """Copies ``[runs, bytes]`` of runs of so many rows, a few at a time: they stay in cache."""
    offset, row_bytes = segment
    size = rows * row_bytes
    starts = (layer.shape[1] - offset - size) // row_bytes + 1
    shape, strides = (len(layer), starts, size), (layer.strides[0], row_bytes, 1)
    every = np.lib.stride_tricks.as_strided(layer[:, offset:], shape, strides)
    step = max(1, _GATHER_BYTES // size)
    for at in range(0, len(places), step):
        yield every[places[at : at + step], first[at : at + step]]


def gathered(layer: Pages, places: NDArray[np.int64]) -> Iterator[Pages]:
    """Copies of whole pages, a few at a time, so that what is gathered stays in cache."""
    step = max(1, _GATHER_BYTES // layer.shape[1])
    buffer = np.empty((min(step, len(places)), layer.shape[1]), np.uint8)
    for at in range(0, len(places), step):
        some = places[at : at + step]
        yield np.take(layer, some, axis=0, out=buffer[: len(some)], mode="clip")


def gathered_sum(layer: Pages, places: NDArray[np.int64]) -> int:
    """The sum of the words of whole pages."""
    return sum(map(sum_words, gathered(layer, places))) % WRAP


def sum_words(runs: NDArray[np.uint8]) -> int:
    """The sum of the words of runs ``[runs, bytes]``."""
    missing = -runs.shape[1] % _WORD
    if missing:
        runs = np.pad(runs, ((0, 0), (0, missing)))
    words = np.ascontiguousarray(runs).view("<u8")
    return int(words.sum(dtype=np.uint64))
