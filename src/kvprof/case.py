"""A model on an engine, of which a question is asked: what fits, and the result of an answer."""

from __future__ import annotations

from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from kvprof.allocated import peak_allocated_bytes
from kvprof.answer import BlockSizeRow, FitRow, Given, SolveResult
from kvprof.engine_options import chosen_options
from kvprof.hookspecs import Engine
from kvprof.model import Model
from kvprof.paging import paged_plan
from kvprof.size import Placement, Request, base_block_size, model_facts, place


class Case(Struct, frozen=True):
    """What stays the same while an answer is searched for.

    Of ``request`` the encoder tokens, the block size and the dtypes count; a search sets the rest.
    """

    model: Model
    engine: Engine
    request: Request

    def placed(self, tokens: int, memory_bytes: int | None = None) -> Placement:
        """The model placed for sequences of up to ``tokens`` tokens. Raises as `place` does."""
        request = replace(
            self.request, tokens=tokens, max_model_len=tokens, memory_bytes=memory_bytes
        )
        return place(self.model, self.engine, request)

    def needed_bytes(self, tokens: int) -> int:
        """The most that one sequence holds on its way to ``tokens`` tokens."""
        return _peak_bytes(self.placed(tokens), self._at(tokens))

    def concurrency(self, tokens: int, memory_bytes: int) -> Fraction | None:
        """Sequences of ``tokens`` tokens that the memory holds; None when they need nothing."""
        placement = self.placed(tokens, memory_bytes)
        if placement.plan is not None and placement.plan.limits.memory_bytes is not None:
            return placement.plan.concurrency
        need = _peak_bytes(placement, self._at(tokens))
        return Fraction(memory_bytes, need) if need else None

    def fit(self, tokens: int, sequences: int, memory_bytes: int) -> FitRow:
        """Whether so many sequences of that length fit in that memory, and what they need."""
        most = self.concurrency(tokens, memory_bytes)
        needed = sequences * self.needed_bytes(tokens)
        fits = most is None or most >= sequences
        return FitRow(tokens, sequences, memory_bytes, needed, fits)

    def _at(self, tokens: int) -> Request:
        return replace(self.request, tokens=tokens, max_model_len=tokens)


def _peak_bytes(placement: Placement, request: Request) -> int:
    """By the engine's plan or allocation; of bare bytes in blocks of a token, each byte needed."""
    limits, kept = request.limits, placement.kept
    found = peak_allocated_bytes(placement.allocation, kept, request.tokens, limits)
    if found is not None:
        return found
    return (placement.plan or paged_plan(kept, limits, block_size=1)).peak_bytes


class Solution(Struct, frozen=True, kw_only=True):
    """An answer, None when there is none or no bound, and what shows that it is right."""

    answer: int | None
    unbounded: bool = False
    evidence: tuple[FitRow | BlockSizeRow, ...] = ()
    note: str | None = None


UNITS = {"context": "tokens", "sequences": "sequences", "memory": "bytes", "block_size": "tokens"}
"""The questions, and what their answers count."""


def solve_result(case: Case, question: str, given: Given, solution: Solution) -> SolveResult:
    """A solution as its reader finds it."""
    placement = case.placed(1)
    plan = placement.plan
    if question != "block_size" and plan is not None:
        given = replace(given, block_size=base_block_size(plan))
    given = replace(
        given,
        tensor_parallel=case.request.tensor_parallel,
        engine_options=dict(chosen_options(case.engine, case.request.engine_options)),
    )
    weights = given.weights_bytes if question == "memory" else None
    answer = solution.answer
    return SolveResult(
        model=model_facts(case.model),
        engine=case.engine.name,
        cache_dtype=placement.dtypes.cache,
        state_dtype=placement.dtypes.state,
        question=question,
        given=given,
        answer=answer,
        unit=UNITS[question],
        unbounded=solution.unbounded,
        device_memory_bytes=None if weights is None or answer is None else answer + weights,
        evidence=solution.evidence,
        note=solution.note,
    )
