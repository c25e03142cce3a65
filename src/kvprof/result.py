"""Every field of a result of `kvprof size`, and what other results share with it.

Fields may be added within a schema version; none is renamed or removed.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from kvprof.field_reads import FieldRead

Number = int | float


class ModelFacts(Struct, frozen=True, omit_defaults=True):
    """Which model, from where, read by whom.

    ``inferred_from`` are the fields that were read when no plugin claims the model type.
    """

    name: str
    source: str
    model_type: str | None
    architecture: str
    plugin: str
    inferred: bool
    inferred_from: tuple[str, ...] = ()


class SizeBytes(Struct, frozen=True):
    """Totals of all sequences (logical, reserved) and what makes them up, per sequence."""

    logical: int
    reserved: int
    per_token: Number
    growing_per_token: Number
    window: int
    fixed_per_sequence: int


class TensorFacts(Struct, frozen=True):
    """One stored tensor of one entry in one layer."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


class CacheFacts(Struct, frozen=True, omit_defaults=True):
    """Layers that keep the same cache; bytes are sums over them, for one sequence.

    ``explain`` are the fields of the config that led to it, when they are asked for.
    """

    name: str
    keep: str
    layers: tuple[int, ...]
    entry_tokens: int
    tensors: tuple[TensorFacts, ...]
    bytes_per_token: Number
    bytes: int
    explain: tuple[FieldRead, ...] | None = None


class PlanGroupFacts(Struct, frozen=True):
    """Layers with one block table."""

    keep: str
    layers: tuple[int, ...]
    padding_layers: int | None
    block_size: int
    page_bytes: int
    blocks_per_sequence: int


class PlanFacts(Struct, frozen=True):
    """How an engine that works in blocks places one sequence and fills its memory."""

    groups: tuple[PlanGroupFacts, ...]
    bytes_per_block: int
    num_blocks: int | None
    blocks_per_sequence: int
    bytes_per_sequence: int
    max_concurrency: float | None
    capacity_tokens: int | None


class BalanceGroup(Struct, frozen=True):
    """A pool at one context: its blocks, those needed, and their share (null of no blocks)."""

    keep: str
    caches: tuple[str, ...]
    layers: int
    blocks: int
    needed: int
    fill: float | None


class BalancePoint(Struct, frozen=True):
    """Which pool is full first at one context, and what is idle in the others by then.

    ``needed`` and ``fill`` of the groups are for ``sequences`` sequences: the most that fit, or
    the one that does not.
    """

    tokens: int
    sequences_that_fit: int | None
    sequences: int
    fills_first: tuple[str, ...]
    groups: tuple[BalanceGroup, ...]
    idle_bytes: int


class ContextPoint(Struct, frozen=True):
    """What one sequence of so many tokens takes of an engine, and how many of them fit.

    ``bytes_per_token`` is what is reserved, over all its tokens; of the wastes those that are not
    0; ``sequences_that_fit`` null without memory, and of sequences that keep nothing.
    """

    tokens: int
    logical: int
    reserved: int
    bytes_per_token: Number
    waste: dict[str, int]
    sequences_that_fit: int | None


class Reason(Struct, frozen=True):
    """Why a plan is as it is: a name, the number that it rests on, and a sentence."""

    name: str
    value: Number
    unit: str
    text: str


class LogFigure(Struct, frozen=True):
    """One figure of an engine's log: as predicted, as printed, and whether they agree."""

    name: str
    predicted: str
    actual: str
    agrees: bool


class LogCheck(Struct, frozen=True):
    """A plan against the log of the engine that made it."""

    path: str
    engine_version: str | None
    agrees: bool
    figures: tuple[LogFigure, ...]


class SizeResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an architecture needs and what an engine reserves, for one point of the axes.

    ``fits_one``: whether one sequence fits beside the blocks that no sequence gets.
    """

    model: ModelFacts
    engine: str
    cache_dtype: str
    state_dtype: str
    tokens: int
    encoder_tokens: int
    sequences: int
    block_size: int | None
    tensor_parallel: int
    bytes: SizeBytes
    waste: dict[str, int]
    caches: tuple[CacheFacts, ...]
    plan: PlanFacts | None = None
    balance: tuple[BalancePoint, ...] = ()
    contexts: tuple[ContextPoint, ...] = ()
    reasons: tuple[Reason, ...] = ()
    fits_one: bool | None = None
    speculative: int = 0
    engine_options: dict[str, str] = {}
    log: LogCheck | None = None


def number(value: Any) -> Number:
    """An exact fraction as JSON gives it: an integer when whole, else a decimal."""
    return int(value) if value == int(value) else float(value)
