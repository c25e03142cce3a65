"""A seed and length statistics in, a reproducible stream of requests out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof.workload.batch import BATCH_ROWS, MOST_HASHES, Batch
from kvprof.workload.drawing import Drawn, draw
from kvprof.workload.settings import (
    PAUSE_S,
    SETTINGS,
    SHAREGPT_OUTPUT_TOKENS,
    SHAREGPT_PROMPT_TOKENS,
    SPREAD,
)

BLOCK_TOKENS = 16


class Synthetic(Struct, frozen=True, kw_only=True):
    """Requests with log-normal lengths that arrive by a Poisson process: a `Workload`.

    Parameters
    ----------
    requests
        How many; fewer where sessions end at ``longest_tokens``. None: as many as arrive in
        ``duration_s``.
    rate
        Requests per second, on average.
    duration_s
        Requests that would arrive later are not made.
    prompt_tokens, output_tokens
        Means of what a user writes and of what is answered.
    log_stddev
        Spread of both: the standard deviation of the logarithms of lengths.
    longest_tokens
        What no request exceeds with its output. A single request is cut, a session ends.
    turns
        Mean number of requests of a session (geometric). With more than 1 each prompt begins with
        the turns before it, and blocks have prefix hashes.
    pause_s
        Mean time from one turn's arrival to the next (exponential).
    seed
        Of everything that is drawn.
    """

    requests: int | None
    rate: float = 1.0
    duration_s: float | None = None
    prompt_tokens: float = SHAREGPT_PROMPT_TOKENS
    output_tokens: float = SHAREGPT_OUTPUT_TOKENS
    log_stddev: float = SPREAD
    longest_tokens: int | None = None
    turns: float = 1.0
    pause_s: float = PAUSE_S
    seed: int = 0

    def __post_init__(self) -> None:
        if self.requests is None and self.duration_s is None:
            raise ValueError("requests and duration_s are both None: the workload has no end")

    @property
    def name(self) -> str:
        """What reports call it: what was asked for, but for what is as usual."""
        usual = Synthetic(requests=None, duration_s=1.0)
        told = [
            f"{name}={getattr(self, setting.field):.10g}"
            for name, setting in SETTINGS.items()
            if getattr(self, setting.field) != getattr(usual, setting.field)
        ]
        return f"synthetic {','.join(told)}".rstrip()

    @property
    def block_tokens(self) -> int | None:
        """Tokens that one prefix hash stands for; None where requests stand alone."""
        return BLOCK_TOKENS if self.turns > 1 else None

    @property
    def expected_requests(self) -> float:
        """How many there are, about."""
        within = np.inf if self.duration_s is None else self.rate * self.duration_s
        return float(min(np.inf if self.requests is None else self.requests, within))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results must know."""
        alone = "each by itself"
        if self.turns > 1:
            alone = (
                f"{self.turns:g} to a session, {self.pause_s:g} s apart, each after all turns "
                "before it"
            )
        notes = [
            f"Synthetic: log-normal lengths, means {self.prompt_tokens:g} and "
            f"{self.output_tokens:g}, spread {self.log_stddev:g}; Poisson arrivals, "
            f"{self.rate:g} requests/s; {alone}; seed {self.seed}."
        ]
        if self.longest_tokens is not None:
            what = "a request is cut" if self.turns <= 1 else "a session ends"
            notes.append(f"At {self.longest_tokens:,} tokens {what}.")
        if self.duration_s is not None:
            notes.append(f"Requests are made for {self.duration_s:g} s.")
        return tuple(notes)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """The requests in order of arrival, at most ``rows`` in a batch; each call starts anew."""
        for drawn in draw(self):
            blocks = np.zeros(len(drawn), np.int64)
            if self.turns > 1:
                blocks = drawn.prompt_tokens // BLOCK_TOKENS
            first, upto = 0, np.concatenate(([0], np.cumsum(blocks)))
            while first < len(drawn):
                fitting = int(np.searchsorted(upto, upto[first] + MOST_HASHES, "right")) - 1
                end = min(first + rows, max(fitting, first + 1))
                yield _hashed(drawn.part(slice(first, end)), blocks[first:end])
                first = end


def _hashed(drawn: Drawn, blocks: NDArray[np.int64]) -> Batch:
    """With the hashes of so many blocks: a session only grows, so its n-th block stays the same."""
    offsets = np.concatenate(([0], np.cumsum(blocks))).astype(np.int64)
    ordinal = np.arange(offsets[-1]) - np.repeat(offsets[:-1], blocks)
    session = np.repeat(drawn.session, blocks).astype(np.uint64)
    return Batch(
        drawn.arrival_s,
        drawn.prompt_tokens,
        drawn.output_tokens,
        drawn.session,
        offsets,
        (session << np.uint64(32)) + ordinal.astype(np.uint64),
    )


def live_tokens(prompt_tokens: NDArray[np.int64], output_tokens: NDArray[np.int64]) -> float:
    """Tokens that a live sequence holds, averaged over time.

    A request lives for as many steps as it makes tokens, so long ones weigh more than their number:
    the mean of prompt + output / 2 over requests, weighted by output.
    """
    held = prompt_tokens + output_tokens / 2
    return float((held * output_tokens).sum() / output_tokens.sum())
