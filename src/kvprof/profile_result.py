"""What `kvprof profile` measured: every field of its part of a document, as frozen structs."""

from __future__ import annotations

from msgspec import Struct

from kvprof.replay_result import ReplayRequests
from kvprof.result import Number, SizeResult


class CpuFacts(Struct, frozen=True):
    """The CPU of one thread: its NUMA node, and whether the system has pinned the thread to it."""

    cpu: int
    node: int | None
    pinned: bool


class DeviceResult(Struct, frozen=True):
    """The device and the best contiguous stream of each direction in this run."""

    name: str
    backend: str
    own_memory: bool
    ceilings: dict[str, float]
    bus_peak_bytes_per_s: Number | None
    ceiling_variants: dict[str, str]
    threads: int
    instruction_set: str
    last_level_cache_bytes: int
    cpus: tuple[CpuFacts, ...]
    link_ceilings: dict[str, float]


class PolicyCost(Struct, frozen=True):
    """What one allocation by a policy takes, and what the device holds for all that was asked."""

    policy: str
    allocation_bytes: int
    asked_bytes: int
    held_bytes: int
    allocate_seconds: float
    free_seconds: float


class AllocationResult(Struct, frozen=True):
    """What allocating the pool, and one block of it, took, and how the system really placed it."""

    policy: str
    huge_page_bytes: int | None
    node_bytes: dict[str, int] | None
    locked: bool
    lock_refused: str | None
    pool_bytes: int
    ceiling_bytes: int
    source_bytes: int
    host_bytes: int
    blocks: int
    seconds: float
    touch_seconds: float
    block_ops_per_s: float
    python_call_seconds: float
    policies: tuple[PolicyCost, ...]


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
    variants: dict[str, float]
    dropped: int
    disturbed: dict[str, int]


class FragmentationResult(Struct, frozen=True):
    """Where the pool's bytes stood after traffic, and what ageing costs in bandwidth.

    ``traffic`` is ``synthetic`` or the trace, whose fullest moment it is then; ``requests`` had
    become of its requests by that moment, ``trace_requests`` by the end of the trace.
    """

    bytes: dict[str, int]
    waste: dict[str, int]
    pool: dict[str, int]
    aged_read_ratio: float | None
    aged_read_noisy: bool | None
    requests: dict[str, int]
    traffic: str = "synthetic"
    trace_requests: ReplayRequests | None = None


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
