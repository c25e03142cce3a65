"""A seed and length statistics in, a reproducible stream of requests out."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

SHAREGPT_PROMPT_TOKENS = 161.31
SHAREGPT_OUTPUT_TOKENS = 337.99
"""Mean lengths of ShareGPT as PagedAttention measured them (SOSP'23, section 6.1)."""

_LOG_STDDEV = 1.0
"""Spread of log lengths: chat logs have medians of about 0.6 of their means."""


class Requests(Struct, frozen=True):
    """Requests in order of arrival; times in decode steps, lengths in tokens, each ``[n]``."""

    arrival_steps: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]

    @property
    def live_tokens(self) -> float:
        """Tokens that a live sequence holds, averaged over time.

        A request lives for as many steps as it makes tokens, so long ones weigh more than their
        number: the mean of prompt + output / 2 over requests, weighted by output.
        """
        lived = self.output_tokens
        held = self.prompt_tokens + lived / 2
        return float((held * lived).sum() / lived.sum())

    def paced(self, requests_per_step: float) -> Requests:
        """The same requests, arriving at another mean rate."""
        rate = len(self.arrival_steps) / self.arrival_steps[-1]
        return replace(self, arrival_steps=self.arrival_steps * (rate / requests_per_step))


def chat_requests(count: int, *, longest_tokens: int, seed: int) -> Requests:
    """Log-normal lengths with ShareGPT's means, Poisson arrivals, one a step on average.

    Prompts and outputs are cut so that no request needs more than ``longest_tokens``.
    """
    generator = np.random.default_rng(seed)
    arrivals = np.cumsum(generator.exponential(1.0, count))
    prompts = _lengths(generator, SHAREGPT_PROMPT_TOKENS, count)
    outputs = _lengths(generator, SHAREGPT_OUTPUT_TOKENS, count)
    prompts = np.minimum(prompts, max(1, longest_tokens // 2))
    outputs = np.minimum(outputs, np.maximum(1, longest_tokens - prompts))
    return Requests(arrivals, prompts, outputs)


def _lengths(generator: np.random.Generator, mean: float, count: int) -> NDArray[np.int64]:
    location = np.log(mean) - _LOG_STDDEV**2 / 2
    drawn = generator.lognormal(location, _LOG_STDDEV, count)
    return np.maximum(1, np.rint(drawn)).astype(np.int64)
