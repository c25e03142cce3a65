"""Lengths of sequences, and blocks in the order in which they are handed out, in; tables out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof.errors import DoesNotFitError
from kvprof.plan import AllocationPlan, PlanGroup

Blocks = NDArray[np.uint32]
"""``[n]``: block ids."""


class Tables(Struct, frozen=True):
    """The block tables of live sequences.

    Attributes
    ----------
    tokens
        ``[sequences]``: how long each is.
    encoder_tokens
        Encoder positions that each keeps.
    ids
        ``[groups][sequences]``: the blocks that each holds, from the first that it still needs on.
        Sequences that share a prefix list the same ids.
    """

    tokens: tuple[int, ...]
    encoder_tokens: int
    ids: tuple[tuple[Blocks, ...], ...]


def fresh_tables(plan: AllocationPlan, tokens: Sequence[int], encoder_tokens: int) -> Tables:
    """One sequence of each length in a fresh pool: ascending blocks. Raises as `dealt_tables`."""
    order = [np.arange(group.num_blocks or 0, dtype=np.uint32) for group in plan.groups]
    return dealt_tables(plan, order, tokens, encoder_tokens)


def dealt_tables(
    plan: AllocationPlan, order: Sequence[Blocks], tokens: Sequence[int], encoder_tokens: int
) -> Tables:
    """One sequence of each length, in blocks taken from the front of each group's ``order``.

    Raises
    ------
    DoesNotFitError
        When there are not enough.
    """
    ids = []
    for number, (group, blocks) in enumerate(zip(plan.groups, order, strict=True)):
        counts = [len(group.blocks(length, encoder_tokens)) for length in tokens]
        if sum(counts) > len(blocks):
            raise DoesNotFitError(
                f"group {number} needs {sum(counts):,} blocks and has {len(blocks):,}",
                hint="Give a larger --stream-memory, or fewer or shorter sequences.",
            )
        ids.append(_cut(blocks, counts))
    return Tables(tuple(tokens), encoder_tokens, tuple(ids))


def renumbered(tables: Tables) -> Tables:
    """The same tables as a fresh pool would have given them: ids ascend as they are first listed.

    What is shared stays shared.
    """
    return Tables(
        tables.tokens, tables.encoder_tokens, tuple(_ascending(group) for group in tables.ids)
    )


def _ascending(tables: Sequence[Blocks]) -> tuple[Blocks, ...]:
    listed = np.concatenate([np.zeros(0, np.uint32), *tables])
    _, first, place = np.unique(listed, return_index=True, return_inverse=True)
    ascending = np.argsort(np.argsort(first)).astype(np.uint32)
    return _cut(ascending[place], [len(table) for table in tables])


def _cut(blocks: Blocks, counts: Sequence[int]) -> tuple[Blocks, ...]:
    """Pieces of so many blocks, one behind the other."""
    ends = np.cumsum(counts, dtype=np.int64)
    return tuple(blocks[end - count : end] for end, count in zip(ends, counts, strict=True))


def first_block(group: PlanGroup, tables: Tables, sequence: int) -> int:
    """How many blocks of the sequence's start are held no more."""
    return group.blocks(tables.tokens[sequence], tables.encoder_tokens).start
