"""A model on an engine in, what one sequence takes of it at the usual contexts out."""

from __future__ import annotations

from fractions import Fraction

from msgspec.structs import replace

from kvprof.case import Case
from kvprof.result import ContextPoint, number
from kvprof.size import size_model

CONTEXTS = (1024, 8192, 32_768, 131_072)
"""Contexts at which engines are compared, in tokens."""


def context_points(case: Case) -> tuple[ContextPoint, ...]:
    """One point for each of `CONTEXTS`, planned for sequences of that length.

    Raises
    ------
    UsageError, PluginError
        As `kvprof.size.place` does.
    """
    return tuple(_point(case, tokens) for tokens in CONTEXTS)


def _point(case: Case, tokens: int) -> ContextPoint:
    request = replace(case.request, tokens=tokens, sequences=1, max_model_len=tokens)
    result = size_model(case.model, case.engine, request)
    memory_bytes = request.memory_bytes
    fits = None if memory_bytes is None else case.concurrency(tokens, memory_bytes)
    return ContextPoint(
        tokens=tokens,
        logical=result.bytes.logical,
        reserved=result.bytes.reserved,
        bytes_per_token=number(Fraction(result.bytes.reserved, tokens)),
        waste={name: size for name, size in result.waste.items() if size},
        sequences_that_fit=None if fits is None else int(fits),
    )
