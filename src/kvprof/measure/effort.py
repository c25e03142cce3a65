"""How much is run to know a figure: everything that it takes, or each operation once."""

from __future__ import annotations

from msgspec import Struct

from kvprof.measure.sampler import MAX_SAMPLES


class Effort(Struct, frozen=True):
    """What a profile spends on its figures.

    Attributes
    ----------
    rounds
        Passes of each variant to choose the fastest by; with none the first one is taken.
    flushes
        Whether caches are flushed.
    steps
        Decode steps that are verified, and timed in turn.
    samples
        Of an operation, at most; of one alone nothing can be told.
    """

    rounds: int
    flushes: bool
    steps: int
    samples: int

    @property
    def measures(self) -> bool:
        """Whether figures mean anything: a budget bounds what it takes."""
        return self.samples > 1


THOROUGH = Effort(rounds=3, flushes=True, steps=8, samples=MAX_SAMPLES)
ONE_PASS = Effort(rounds=0, flushes=False, steps=1, samples=1)
"""Under a tool that slows passes down or repeats them."""
