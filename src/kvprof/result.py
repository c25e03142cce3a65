"""Every field of every result that kvprof gives.

Fields may be added within a schema version; none is renamed or removed.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

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


class CacheFacts(Struct, frozen=True):
    """Layers that keep the same cache; bytes are sums over them, for one sequence."""

    name: str
    keep: str
    layers: tuple[int, ...]
    entry_tokens: int
    tensors: tuple[TensorFacts, ...]
    bytes_per_token: Number
    bytes: int


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


class CpuFacts(Struct, frozen=True):
    """The CPU of one thread: its NUMA node, and whether the system has pinned the thread to it."""

    cpu: int
    node: int | None
    pinned: bool


class DeviceResult(Struct, frozen=True):
    """The device and the best contiguous stream of each direction in this run."""

    name: str
    backend: str
    ceilings: dict[str, float]
    bus_peak_bytes_per_s: Number | None
    ceiling_variants: dict[str, str]
    threads: int
    instruction_set: str
    last_level_cache_bytes: int
    cpus: tuple[CpuFacts, ...]


class AllocationResult(Struct, frozen=True):
    """What allocating the pool, and one block of it, took, and how the system really placed it."""

    policy: str
    huge_page_bytes: int | None
    node_bytes: dict[str, int] | None
    locked: bool
    lock_refused: str | None
    pool_bytes: int
    ceiling_bytes: int
    host_bytes: int
    blocks: int
    seconds: float
    touch_seconds: float
    block_ops_per_s: float
    python_call_seconds: float


class SampleSeconds(Struct, frozen=True):
    """Raw samples of one operation and their median and quartiles."""

    median: float
    q1: float
    q3: float
    samples: tuple[float, ...]


class StreamFacts(Struct, frozen=True):
    """One stream operation over one cache, measured against the ceiling of its direction."""

    op: str
    cache: str
    order: str
    sequences: int
    tokens: int
    run_bytes: int
    bytes: int
    seconds: SampleSeconds
    bytes_per_s: float
    ceiling: str
    ceiling_bytes_per_s: float
    ceiling_seconds: tuple[float, ...]
    ratio_to_ceiling: float
    noisy: bool
    variant: str
    dropped: int
    disturbed: dict[str, int]


class FragmentationResult(Struct, frozen=True):
    """Where the pool's bytes stood after synthetic traffic, and what ageing costs in bandwidth."""

    bytes: dict[str, int]
    waste: dict[str, int]
    pool: dict[str, int]
    aged_read_ratio: float | None
    aged_read_noisy: bool | None
    requests: dict[str, int]


class StepResult(Struct, frozen=True):
    """One decode step of all sequences, by the bandwidths measured above."""

    bytes_read: int
    bytes_written: int
    weights_bytes: int | None
    seconds: float
    tokens_per_s: float
    cache_only: bool


class CapacityPoint(Struct, frozen=True):
    """Sequences of a context that fit in the memory."""

    tokens: int
    sequences: int


class LengthFacts(Struct, frozen=True):
    """So many sequences of one length."""

    sequences: int
    tokens: int


class OrderFacts(Struct, frozen=True):
    """How pages lie in memory: heads or rows first, K and V, layers or blocks outermost."""

    page_order: str
    kv: str
    outer: str


class ProfileResult(SizeResult, frozen=True, kw_only=True, omit_defaults=True):
    """A size result with what was measured on a device."""

    lengths: tuple[LengthFacts, ...]
    memory_order: OrderFacts

    device: DeviceResult
    allocation: AllocationResult
    streams: tuple[StreamFacts, ...]
    fragmentation: FragmentationResult
    step: StepResult
    capacity: tuple[CapacityPoint, ...]
    capacity_memory_bytes: int
    warnings: tuple[str, ...]


class CatalogueRow(Struct, frozen=True):
    """One model of the catalogue, with what it keeps in bfloat16."""

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
    fixed_mib_per_sequence: float | None
    plugin: str


class EngineRow(Struct, frozen=True):
    """One engine and the plugin that describes it."""

    name: str
    summary: str
    plugin: str


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


class DoctorRow(Struct, frozen=True):
    """One thing that kvprof needs or can use, and how it is here."""

    subject: str
    status: str
    detail: str


def number(value: Any) -> Number:
    """An exact fraction as JSON gives it: an integer when whole, else a decimal."""
    return int(value) if value == int(value) else float(value)
