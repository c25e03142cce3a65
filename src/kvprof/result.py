"""Every field of every result that kvprof gives.

Fields may be added within a schema version; none is renamed or removed.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from kvprof.field_reads import FieldRead

Number = int | float


class ModelFacts(Struct, frozen=True):
    """Which model, from where, read by whom."""

    name: str
    source: str
    model_type: str | None
    architecture: str
    plugin: str
    inferred: bool


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
    """How an engine that works in blocks places one sequence and fills its memory.

    ``fits_one``: whether one sequence fits beside the blocks that no sequence gets.
    """

    groups: tuple[PlanGroupFacts, ...]
    bytes_per_block: int
    num_blocks: int | None
    blocks_per_sequence: int
    bytes_per_sequence: int
    max_concurrency: float | None
    capacity_tokens: int | None
    fits_one: bool | None = None


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
    """What an architecture needs and what an engine reserves, for one point of the axes."""

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
    speculative: int = 0
    engine_options: dict[str, str] = {}
    log: LogCheck | None = None


class CatalogueRow(Struct, frozen=True):
    """One model of the catalogue, with what it keeps in bfloat16.

    ``comparable_kib_per_token`` counts as the published figure does, ``published_agrees`` says
    whether they are equal; ``note`` why not.
    """

    name: str
    title: str
    organisation: str
    date: str
    attention: str
    architecture: str | None
    kib_per_token: float | None
    growing_kib_per_token: float | None
    window_mib_per_sequence: float | None
    fixed_mib_per_sequence: float | None
    published_kib_per_token: float | None
    comparable_kib_per_token: float | None
    published_agrees: bool | None
    max_context: int | None
    source: str
    confidence: str
    note: str | None


class ArchitectureRow(Struct, frozen=True):
    """One architecture and the plugin that describes it."""

    name: str
    summary: str
    reference: str
    kib_per_token: float | None
    growing_kib_per_token: float | None
    fixed_mib_per_sequence: float | None
    plugin: str


class EngineRow(Struct, frozen=True):
    """One engine and the plugin that describes it."""

    name: str
    summary: str
    plugin: str
    settings: tuple[str, ...] = ()


class DeviceRow(Struct, frozen=True):
    """One device, or why its backend has none."""

    name: str
    backend: str
    available: bool
    description: str
    memory_bytes: int | None


class CheckResult(Struct, frozen=True):
    """Whether an architecture conforms, and every reason why not."""

    architecture: str
    plugin: str
    conforms: bool
    problems: tuple[str, ...]


class LayerAgreement(Struct, frozen=True):
    """One layer of a shrunk model: what the layout says it keeps, and what was kept."""

    layer: int
    expected_bytes: int
    measured_bytes: int


class AgreementResult(Struct, frozen=True, kw_only=True):
    """Whether a layout and the caches of a real implementation agree at one number of tokens.

    Attributes
    ----------
    model_type
        What was run: of a multimodal model the language model's.
    versions
        Of the libraries that ran it.
    layers
        Both counts for one sequence, by the layer's index; cross attention is with its layer.
    problems
        The first layers that differ.
    """

    model: str
    model_type: str
    plugin: str
    engine: str
    versions: dict[str, str]
    dtype: str
    tokens: int
    encoder_tokens: int
    layers: tuple[LayerAgreement, ...]
    agrees: bool
    problems: tuple[str, ...]


class DoctorRow(Struct, frozen=True):
    """One thing that kvprof needs or can use, and how it is here."""

    subject: str
    status: str
    detail: str


def number(value: Any) -> Number:
    """An exact fraction as JSON gives it: an integer when whole, else a decimal."""
    return int(value) if value == int(value) else float(value)
