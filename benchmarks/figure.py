"""What the benchmarks of published figures share: a figure, a workload of lengths, a replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from kvprof.case import Case
from kvprof.model import Model
from kvprof.registry import registry
from kvprof.replay.pace import Pace
from kvprof.replay.run import longest_request, replay
from kvprof.replay_result import ReplayResult, TraceSource
from kvprof.size import Request
from kvprof.workload.batch import Batch, Workload


class Figure(Struct, frozen=True):
    """One published number and the one that came out."""

    source: str
    what: str
    published: float
    found: float
    unit: str
    assumption: str = ""


class Lengths(Struct, frozen=True):
    """Requests of these lengths, all there at once: a `Workload`."""

    prompts: Sequence[int]
    outputs: Sequence[int]
    name: str = "lengths"
    block_tokens: int | None = None
    notes: tuple[str, ...] = ()

    def batches(self, rows: int = 0) -> Iterator[Batch]:
        """One batch."""
        count = len(self.prompts)
        yield Batch(
            np.zeros(count),
            np.array(self.prompts, np.int64),
            np.array(self.outputs, np.int64),
            np.full(count, -1, np.int64),
            np.zeros(count + 1, np.int64),
            np.zeros(0, np.uint64),
        )


def run(
    model: Model,
    engine: str,
    workload: Workload,
    memory: int,
    *,
    pace: Pace | None = None,
    **given: Any,
) -> ReplayResult:
    """One replay; the longest request is the longest sequence unless it is given."""
    longest = given.pop("longest", None) or longest_request(workload)
    request = Request(tokens=longest, max_model_len=longest, memory_bytes=memory, **given)
    case = Case(model, registry().engine(engine).what, request)
    source = TraceSource(workload.name, "", ())
    return replay(case, workload, pace or Pace(), source=source).result
