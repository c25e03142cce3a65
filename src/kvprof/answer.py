"""Every field of a result of `kvprof solve`: the question, what was given, the answer, evidence."""

from __future__ import annotations

from msgspec import Struct

from kvprof.result import ModelFacts


class SequencesOf(Struct, frozen=True):
    """So many sequences of so many tokens, in a batch of mixed lengths."""

    sequences: int
    tokens: int


class Given(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a question starts from; what is not given is absent.

    ``block_size`` is the one used, ``block_sizes`` are candidates.
    """

    tokens: int | None = None
    sequences: int | None = None
    lengths: tuple[SequencesOf, ...] = ()
    encoder_tokens: int = 0
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None
    weights_bytes: int | None = None
    block_size: int | None = None
    block_sizes: tuple[int, ...] = ()
    tensor_parallel: int = 1
    engine_options: dict[str, str] = {}


class FitRow(Struct, frozen=True, tag_field="about", tag="fit"):
    """Whether sequences of that length fit in that memory.

    ``needed_bytes`` is the most that they hold on their way to that length.
    """

    tokens: int
    sequences: int
    memory_bytes: int
    needed_bytes: int
    fits: bool


class BlockSizeGroup(Struct, frozen=True):
    """One block table under a block size: its page in one layer, the blocks of all sequences."""

    keep: str
    page_bytes: int
    blocks: int


class BlockSizeRow(Struct, frozen=True, tag_field="about", tag="block_size"):
    """What a workload reserves under one block size; all bytes are of all its sequences."""

    block_size: int
    logical_bytes: int
    reserved_bytes: int
    waste: dict[str, int]
    wasted_ratio: float
    groups: tuple[BlockSizeGroup, ...]


class SolveResult(Struct, frozen=True, kw_only=True):
    """The answer to one question about one point of the axes."""

    model: ModelFacts
    engine: str
    cache_dtype: str
    state_dtype: str
    question: str
    given: Given
    answer: int | None
    unit: str
    unbounded: bool
    device_memory_bytes: int | None
    evidence: tuple[FitRow | BlockSizeRow, ...]
    note: str | None
