"""Every field of a result of `kvprof replay`."""

from __future__ import annotations

from msgspec import Struct

from kvprof.result import ModelFacts


class TraceSource(Struct, frozen=True):
    """The workload of a replay: its name, its format, and what must be known of it."""

    name: str
    format: str
    notes: tuple[str, ...]


class ReplayRequests(Struct, frozen=True):
    """What became of the requests.

    ``total`` were replayed: completed or rejected, because they could never fit. ``preemptions``
    counts how often a sequence made room for others; ``skipped_rows`` rows of the trace that were
    not replayed: failed when recorded, bad, or after the duration. The trace's notes tell which.
    """

    total: int
    completed: int
    rejected: int
    preemptions: int
    skipped_rows: int


class ReplayBytes(Struct, frozen=True):
    """Of all live sequences: needed and reserved, shared blocks counted once; what sharing saved.

    ``reserved`` is ``logical`` plus the wastes.
    """

    logical: int
    reserved: int
    shared: int


class MeanBytes(Struct, frozen=True):
    """The same averaged over time."""

    logical: float
    reserved: float
    shared: float


class ReplayMean(Struct, frozen=True):
    """Averages over time, from the first arrival to the last release."""

    bytes: MeanBytes
    waste: dict[str, float]
    pool: dict[str, float]
    live_sequences: float


class MemoryTime(Struct, frozen=True):
    """A step of decoding takes as long as memory takes to move its bytes.

    Attributes
    ----------
    bytes_per_s
        Of what the running sequences read and write, each at its length.
    weights_bytes, weights_bytes_per_s
        Read once a step, whatever the batch; None: they are left out.
    source
        Where the bandwidth comes from: ``given``, or the profile that measured it.
    """

    bytes_per_s: float
    weights_bytes: int | None
    weights_bytes_per_s: float
    source: str


class Use(Struct, frozen=True):
    """Blocks that live sequences hold, shared ones once, and their share of those they may hold.

    ``fill`` is null of a pool without blocks.
    """

    blocks: int
    bytes: int
    fill: float | None


class MeanUse(Struct, frozen=True):
    """The same averaged over time."""

    blocks: float
    bytes: float
    fill: float | None


class GroupUse(Struct, frozen=True, kw_only=True):
    """What the layers of one block table held: at the fullest instant, on average, at most."""

    label: str
    keep: str
    caches: tuple[str, ...]
    layers: tuple[int, ...]
    fullest: Use
    mean: MeanUse
    most: Use


class PoolUse(Struct, frozen=True, kw_only=True):
    """What one pool held, and the groups in it; blocks of groups add up to the pool's.

    ``shares`` at the fullest instant, and ``mean_shares`` over time, add up to ``bytes``.
    ``full_ratio`` is the share of the time in which the pool had no room: for any block, or for the
    request that waited. ``first_full_s`` is when that was first, null for never.
    """

    label: str
    num_blocks: int
    block_bytes: int
    bytes: int
    fullest: Use
    mean: MeanUse
    most: Use
    shares: dict[str, int]
    mean_shares: dict[str, float]
    full_ratio: float
    first_full_s: float | None
    groups: tuple[GroupUse, ...]


class ReplayResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the bytes went when one trace was run through one engine's allocation.

    Attributes
    ----------
    bytes, waste, pool, fullest_s, live_sequences
        At the fullest instant: when most bytes were reserved, so many seconds after the first
        arrival.
    pools
        Each pool, and the groups in it; none of contiguous memory.
    capacity_bytes
        The memory, which the shares of ``pool`` add up to.
    hit_rate
        Of the prompt tokens of admitted requests, those that the prefix cache held; null without.
    seconds
        Of the replay alone, without reading the trace.
    decode_tokens_per_s, memory_time
        The clock of decoding: the rate of each running sequence, or what a step takes instead.
    mean_step_s
        Of a step in which some sequence made a token.
    block_operations
        Blocks, pages or runs allocated and freed.
    """

    model: ModelFacts
    engine: str
    policy: str
    cache_dtype: str
    state_dtype: str
    block_size: int | None
    tensor_parallel: int
    encoder_tokens: int
    max_model_len: int
    trace: TraceSource
    requests: ReplayRequests
    bytes: ReplayBytes
    waste: dict[str, int]
    pool: dict[str, int]
    mean: ReplayMean
    pools: tuple[PoolUse, ...]
    capacity_bytes: int
    largest_free_run_bytes: int
    live_sequences: int
    most_live_sequences: int
    fullest_s: float
    span_s: float
    hit_rate: float | None
    preemption: str
    recomputed_tokens: int
    swapped_bytes: int
    decode_tokens_per_s: float | None
    memory_time: MemoryTime | None
    mean_step_s: float | None
    prefill_tokens_per_s: float | None
    appended_tokens: int
    stepping: str
    series_file: str | None
    seconds: float
    requests_per_s: float
    block_operations: int
    block_operations_per_s: float
    utilisation: tuple[float, ...]
    warnings: tuple[str, ...] = ()
    engine_options: dict[str, str] = {}
