"""The canonical table of requests, in batches of arrays that a compiled loop can walk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

BATCH_ROWS = 65_536
MOST_HASHES = 2**22
"""A batch has about as many prefix hashes at most, 32 MiB, or one request."""

NO_SESSION = -1


class Batch(Struct, frozen=True):
    """Consecutive requests of a workload; each array is contiguous.

    Parameters
    ----------
    arrival_s
        ``float64 [n]``: seconds from the workload's start, ascending over all batches. The first
        request of a trace arrives at 0.
    prompt_tokens, output_tokens
        ``int64 [n]``: prompts hold at least 1 token, outputs may hold 0.
    session
        ``int64 [n]``: dense ids from 0 in order of appearance, `NO_SESSION` where there is none.
    hash_offsets, hashes
        ``int64 [n + 1]`` and ``uint64 [m]``: the prefix blocks of request ``i`` are
        ``hashes[hash_offsets[i]:hash_offsets[i + 1]]``, in order of the prompt. Hashes are
        chained: an equal hash stands for an equal prefix up to the end of that block. They cover
        the prompt's full blocks, and in some traces the last one that is not full.
    """

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    session: NDArray[np.int64]
    hash_offsets: NDArray[np.int64]
    hashes: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.arrival_s)


class Workload(Protocol):
    """Where requests come from: a trace, a generator's parameters, a synthetic source."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def block_tokens(self) -> int | None:
        """Tokens that one prefix hash stands for; None where there are no hashes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results must know: what was supplied, left out or taken for granted."""

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """The requests in order of arrival, at most ``rows`` in a batch; each call starts anew."""
