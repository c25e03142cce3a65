"""Inverse questions of a `Case`: the longest context, the most sequences, the least memory.

An engine may be anyone's, so no formula is assumed: the answer is searched for by asking whether
it fits, and its evidence asks again at the answer and on either side of it.
"""

from __future__ import annotations

from kvprof.accounting import cache_groups
from kvprof.answer import FitRow
from kvprof.case import Case, Solution
from kvprof.config import MAX_DIMENSION, ModelConfig
from kvprof.layout import Once
from kvprof.registry import registry
from kvprof.search import first_true, last_true
from kvprof.units import MAX_BYTES, MAX_TOKENS, format_bytes, format_plural

_LONGEST_FIELDS = ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx")


def longest_context(case: Case, sequences: int, memory_bytes: int) -> Solution:
    """The most tokens T of which ``sequences`` sequences fit.

    0 when not even sequences of one token fit; unbounded when they need no more at 2**40 tokens
    than at half of that. Raises as `place` does.
    """

    def at(tokens: int) -> FitRow:
        return case.fit(tokens, sequences, memory_bytes)

    answer = last_true(lambda tokens: at(tokens).fits, 1, MAX_TOKENS) or 0
    if answer == 0:
        return Solution(answer=0, evidence=(at(1),), note=_nothing_fits(at(1)))
    if answer == MAX_TOKENS and at(MAX_TOKENS).needed_bytes == at(MAX_TOKENS // 2).needed_bytes:
        return _unbounded_context(case, sequences, memory_bytes)
    notes = [_beyond(case.model.config, answer)]
    if answer == MAX_TOKENS:
        notes.append(f"the search ends there, at 2^40 tokens; {_needs(at(answer))}")
    evidence = tuple(at(tokens) for tokens in _neighbours(answer, 1, MAX_TOKENS))
    return Solution(answer=answer, evidence=evidence, note=_joined(notes))


def _unbounded_context(case: Case, sequences: int, memory_bytes: int) -> Solution:
    """No length is too long: from some length on a sequence needs no more."""
    most = case.needed_bytes(MAX_TOKENS)
    full = first_true(lambda tokens: case.needed_bytes(tokens) == most, 1, MAX_TOKENS) or 1
    groups = cache_groups(case.placed(1).kept)
    states_only = all(isinstance(group.cache.keep, Once) for group in groups)
    kept = "states only" if states_only else "no cache that grows with the context without end"
    why = (
        f"no context is too long: the model keeps {kept}, and a sequence of "
        f"{format_plural(full, 'token')} or more needs {format_bytes(most)}"
    )
    longest = _longest_known(case.model.config)
    made_for = None if longest is None else f"the model is made for {longest:,} tokens"
    evidence = tuple(case.fit(tokens, sequences, memory_bytes) for tokens in (full, MAX_TOKENS))
    note = _joined([why, made_for])
    return Solution(answer=None, unbounded=True, evidence=evidence, note=note)


def most_sequences(case: Case, tokens: int, memory_bytes: int) -> Solution:
    """The most sequences of ``tokens`` tokens that fit. Raises as `place` does."""
    concurrency = case.concurrency(tokens, memory_bytes)
    if concurrency is None:
        why = f"any number fits: a sequence of {format_plural(tokens, 'token')} keeps nothing"
        one = case.fit(tokens, 1, memory_bytes)
        return Solution(answer=None, unbounded=True, evidence=(one,), note=why)
    answer = int(concurrency)
    rows = [case.fit(tokens, each, memory_bytes) for each in _neighbours(answer, 1, answer + 1)]
    notes = [None if answer else _nothing_fits(rows[0]), _beyond(case.model.config, tokens)]
    return Solution(answer=answer, evidence=tuple(rows), note=_joined(notes))


def least_memory(case: Case, tokens: int, sequences: int) -> Solution:
    """The least memory in which ``sequences`` sequences of ``tokens`` tokens fit, in bytes.

    0 when they need nothing, None when 2**60 bytes are too few. Raises as `place` does.
    """

    def at(memory_bytes: int) -> FitRow:
        return case.fit(tokens, sequences, memory_bytes)

    if case.needed_bytes(tokens) == 0:
        why = f"a sequence of {format_plural(tokens, 'token')} keeps nothing"
        return Solution(answer=0, evidence=(at(0),), note=why)
    answer = first_true(lambda memory_bytes: at(memory_bytes).fits, 1, MAX_BYTES)
    if answer is None:
        why = f"no memory of up to 2^60 bytes is enough; {_needs(at(MAX_BYTES))}"
        return Solution(answer=None, evidence=(at(MAX_BYTES),), note=why)
    evidence = tuple(at(memory_bytes) for memory_bytes in _neighbours(answer, 0, MAX_BYTES))
    return Solution(answer=answer, evidence=evidence, note=_beyond(case.model.config, tokens))


def _neighbours(answer: int, first: int, last: int) -> range:
    """The answer and the numbers on either side of it, within bounds."""
    return range(max(first, answer - 1), min(last, answer + 1) + 1)


def _needs(row: FitRow) -> str:
    return (
        f"{format_plural(row.sequences, 'sequence')} of {format_plural(row.tokens, 'token')} "
        f"{'needs' if row.sequences == 1 else 'need'} {format_bytes(row.needed_bytes)}"
    )


def _nothing_fits(row: FitRow) -> str:
    return f"nothing fits: {_needs(row)}, and the memory is {format_bytes(row.memory_bytes)}"


def _beyond(config: ModelConfig, tokens: int) -> str | None:
    """What to say of a length that the model is not made for."""
    longest = _longest_known(config)
    if longest is None or tokens <= longest:
        return None
    return f"{tokens:,} tokens are more than the {longest:,} that the model is made for"


def _longest_known(config: ModelConfig) -> int | None:
    """The longest context by the catalogue, else by the config's own fields."""
    row = registry().models.get(config.name)
    if row is not None and row.max_context and config.source.startswith("catalogue:"):
        return row.max_context
    for name in _LONGEST_FIELDS:
        value = config.value(name)
        if isinstance(value, int) and 1 < value <= MAX_DIMENSION:
            return value
    return None


def _joined(notes: list[str | None]) -> str | None:
    return "; ".join(note for note in notes if note) or None
