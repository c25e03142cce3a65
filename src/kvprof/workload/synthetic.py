"""A seed and length statistics in, a reproducible stream of requests out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof.workload.batch import BATCH_ROWS, NO_SESSION, Batch

SHAREGPT_PROMPT_TOKENS = 161.31
SHAREGPT_OUTPUT_TOKENS = 337.99
"""Mean lengths of ShareGPT as PagedAttention measured them (SOSP'23, section 6.1)."""

BLOCK_TOKENS = 16

Steps = TypeVar("Steps", NDArray[np.float64], NDArray[np.int64])

_LOG_STDDEV = 1.0
"""Spread of log lengths: chat logs have medians of about 0.6 of their means."""


class Synthetic(Struct, frozen=True, kw_only=True):
    """Requests with log-normal lengths that arrive by a Poisson process: a `Workload`.

    Parameters
    ----------
    requests
        How many; fewer where sessions end at ``longest_tokens``.
    rate
        Requests per second, on average.
    prompt_tokens, output_tokens
        Means of what a user writes and of what is answered.
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

    requests: int
    rate: float = 1.0
    prompt_tokens: float = SHAREGPT_PROMPT_TOKENS
    output_tokens: float = SHAREGPT_OUTPUT_TOKENS
    log_stddev: float = _LOG_STDDEV
    longest_tokens: int | None = None
    turns: float = 1.0
    pause_s: float = 60.0
    seed: int = 0

    @property
    def name(self) -> str:
        """What reports call it."""
        return "synthetic"

    @property
    def block_tokens(self) -> int | None:
        """Tokens that one prefix hash stands for; None where requests stand alone."""
        return BLOCK_TOKENS if self.turns > 1 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results must know."""
        return (
            f"Synthetic: log-normal lengths, means {self.prompt_tokens:g} and "
            f"{self.output_tokens:g}, Poisson arrivals, {self.rate:g} a second, "
            f"{self.turns:g} to a session, seed {self.seed}.",
        )

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """The requests in order of arrival, at most ``rows`` in a batch; each call starts anew."""
        whole = _sessions(self) if self.turns > 1 else _single(self)
        for first in range(0, len(whole), rows):
            cut = slice(first, first + rows)
            yield _hashed(
                whole.arrival_s[cut],
                whole.prompt_tokens[cut],
                whole.output_tokens[cut],
                whole.session[cut],
                hashed=self.turns > 1,
            )


def _single(source: Synthetic) -> Batch:
    """Requests that have nothing to do with each other, without hashes."""
    generator = np.random.default_rng(source.seed)
    count = source.requests
    arrivals = np.cumsum(generator.exponential(1 / source.rate, count))
    prompts = _lengths(generator, source.prompt_tokens, source.log_stddev, count)
    outputs = _lengths(generator, source.output_tokens, source.log_stddev, count)
    if source.longest_tokens is not None:
        prompts = np.minimum(prompts, max(1, source.longest_tokens // 2))
        outputs = np.minimum(outputs, np.maximum(1, source.longest_tokens - prompts))
    session = np.full(count, NO_SESSION, np.int64)
    return _hashed(arrivals, prompts, outputs, session, hashed=False)


def _sessions(source: Synthetic) -> Batch:
    """Turns of sessions in order of arrival, hashes left out."""
    generator = np.random.default_rng(source.seed)
    count = source.requests
    turns = generator.geometric(1 / source.turns, count)
    session = np.repeat(np.arange(count), turns)[:count]
    first = np.flatnonzero(np.diff(session, prepend=-1))
    starts = np.cumsum(generator.exponential(source.turns / source.rate, len(first)))
    pauses = generator.exponential(source.pause_s, count)
    pauses[first] = starts
    written = _lengths(generator, source.prompt_tokens, source.log_stddev, count)
    outputs = _lengths(generator, source.output_tokens, source.log_stddev, count)
    prompts = _within(written + outputs, first, session) - outputs
    arrivals = _within(pauses, first, session)
    kept = np.full(count, True)
    if source.longest_tokens is not None:
        kept = prompts + outputs <= source.longest_tokens
    order = np.flatnonzero(kept)[np.argsort(arrivals[kept], kind="stable")]
    return _hashed(arrivals[order], prompts[order], outputs[order], session[order], hashed=False)


def _within(steps: Steps, first: NDArray[np.int64], session: NDArray[np.int64]) -> Steps:
    """Running sums that start anew with each session, each ``[n]``."""
    sums: Steps = np.cumsum(steps)
    earlier: Steps = sums[first] - steps[first]
    within: Steps = sums - earlier[session]
    return within


def _hashed(
    arrivals: NDArray[np.float64],
    prompts: NDArray[np.int64],
    outputs: NDArray[np.int64],
    session: NDArray[np.int64],
    *,
    hashed: bool,
) -> Batch:
    """A batch from 0 on; a session only grows, so its n-th block is the same in all its turns."""
    blocks = prompts // BLOCK_TOKENS if hashed else np.zeros(len(prompts), np.int64)
    offsets = np.concatenate(([0], np.cumsum(blocks))).astype(np.int64)
    ordinal = np.arange(offsets[-1]) - np.repeat(offsets[:-1], blocks)
    hashes = (np.repeat(session, blocks).astype(np.uint64) << np.uint64(32)) + ordinal.astype(
        np.uint64
    )
    return Batch(arrivals, prompts, outputs, session, offsets, hashes)


def live_tokens(prompt_tokens: NDArray[np.int64], output_tokens: NDArray[np.int64]) -> float:
    """Tokens that a live sequence holds, averaged over time.

    A request lives for as many steps as it makes tokens, so long ones weigh more than their number:
    the mean of prompt + output / 2 over requests, weighted by output.
    """
    held = prompt_tokens + output_tokens / 2
    return float((held * output_tokens).sum() / output_tokens.sum())


def _lengths(
    generator: np.random.Generator, mean: float, log_stddev: float, count: int
) -> NDArray[np.int64]:
    location = np.log(mean) - log_stddev**2 / 2
    drawn = generator.lognormal(location, log_stddev, count)
    return np.maximum(1, np.rint(drawn)).astype(np.int64)
