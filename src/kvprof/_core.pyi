"""The compiled core: block allocation, address plans and the CPU backend."""

from collections.abc import Sequence
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

class OutOfBlocks(MemoryError):  # noqa: N818 (what happened, as MemoryError is)
    """A pool cannot supply the blocks asked for; nothing was allocated.

    ``args`` is ``(message, needed_blocks, free_blocks)``.
    """

@final
class BlockPool:
    """A pool of block ids with a LIFO free list and reference counts.

    A fresh pool hands out ids in ascending order from 0; freed ids are reused last-in, first-out.

    Parameters
    ----------
    num_blocks
        Blocks in the pool, 0 to 2**32 - 2.
    """

    def __init__(self, num_blocks: int) -> None: ...
    @property
    def num_blocks(self) -> int: ...
    @property
    def num_free(self) -> int: ...
    def allocate(self, count: int) -> NDArray[np.uint32]:
        """Take ``count`` blocks, each with one reference; all or none.

        Raises
        ------
        OutOfBlocks
            When fewer than ``count`` blocks are free.
        """
    def share(self, blocks: NDArray[np.uint32]) -> None:
        """Add one reference to each allocated block (a fork, or a prefix hit).

        Raises
        ------
        ValueError
            When an id is out of range or not allocated; nothing has changed then.
        """
    def free(self, blocks: NDArray[np.uint32]) -> None:
        """Drop one reference of each block; at zero it returns to the free list.

        Raises
        ------
        ValueError
            When an id is out of range or not allocated; nothing has changed then.
        """
    def reference_count(self, block: int) -> int: ...

def time_block_operations(num_blocks: int, batch: int, repeats: int) -> float:
    """Seconds that ``repeats`` pairs of allocate(batch) and free(batch) take in C++, one thread.

    The pool is first aged: filled and emptied in a shuffled order, so the free list is not sorted.
    """

@final
class PagePlan:
    """Rows of one cache gathered through block tables.

    The address of row ``r`` of segment ``s`` of block ``b`` in layer ``l`` is ``base_bytes +
    l * layer_stride_bytes + b * block_stride_bytes + s.offset_bytes + r * s.row_bytes``.

    Parameters
    ----------
    segments
        ``(offset_bytes, row_bytes)`` of each segment of a page.
    runs
        ``[n, 3]``: block id, first row, rows; streamed in this order in every layer.

    Raises
    ------
    ValueError
        For a negative number, no layer, no segment, an empty row, or 2**63 bytes and more.
    """

    def __init__(
        self,
        *,
        base_bytes: int,
        layer_stride_bytes: int,
        block_stride_bytes: int,
        layers: int,
        segments: Sequence[tuple[int, int]],
        runs: NDArray[np.uint32],
    ) -> None: ...
    @property
    def nbytes(self) -> int:
        """Bytes under the plan, not doubled for an update; a run named twice counts twice."""
    @property
    def extent_bytes(self) -> int:
        """One past the last byte under the plan."""

@final
class SlotPlan:
    """Rows of one cache scattered through a slot mapping.

    Parameters
    ----------
    slots
        ``[tokens]``: slot = block id * rows_per_block + row; -1 is padding and is skipped. A slot
        named more than once is written once, by its last token.

    Raises
    ------
    ValueError
        As ``PagePlan``; also for a slot below -1, and when pages overlap one another.
    """

    def __init__(
        self,
        *,
        base_bytes: int,
        layer_stride_bytes: int,
        block_stride_bytes: int,
        layers: int,
        segments: Sequence[tuple[int, int]],
        rows_per_block: int,
        slots: NDArray[np.int64],
    ) -> None: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def extent_bytes(self) -> int: ...

@final
class CopyPlan:
    """Pages to copy: what lies under ``source`` goes to what lies under ``target``.

    Raises
    ------
    ValueError
        When the plans differ in layers, segments or rows, or the target overlaps itself.
    """

    def __init__(self, source: PagePlan, target: PagePlan) -> None: ...
    @property
    def nbytes(self) -> int:
        """Bytes that are copied; a copy reads and writes each of them."""

@final
class DeviceFacts:
    """What a backend knows of its device."""

    name: str
    backend: str
    instruction_set: str
    compute_units: int
    memory_bytes: int
    last_level_cache_bytes: int
    bus_peak_bytes_per_s: float | None

@final
class StreamResult:
    """One timed pass: ``nbytes`` moved (read plus written) in ``seconds``.

    ``checksum`` is the sum, modulo 2**64, of the little-endian 64-bit words of every run read (of
    the new values, for an update); a run's last bytes are extended with zeros to a word. It is 0
    for what only writes or copies. ``interruptions`` counts how often a thread lost its CPU during
    the pass, ``lost_seconds`` is the most that any was without it. ``clock_hz`` is the slowest
    core's clock just after the pass, of a GPU the mean over the pass; 0 where it is not known, as
    of a GPU's pass below 50 us.
    """

    seconds: float
    nbytes: int
    checksum: int
    interruptions: int
    lost_seconds: float
    clock_hz: float

@final
class Memory:
    """Memory of a device, or of the host.

    Where the host can address it (``on_host``) it exports its bytes through the buffer protocol,
    on a CUDA device through ``__cuda_array_interface__``, and in either case through DLPack: always
    without a copy. After ``release`` every use raises ValueError, a new view BufferError.
    """

    @property
    def nbytes(self) -> int: ...
    @property
    def policy(self) -> str:
        """How it was allocated: one of ``Backend.policies``, or ``pinned``."""
    @property
    def on_host(self) -> bool:
        """Whether the host can address it."""
    def read(self, offset_bytes: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of its bytes. Raises IndexError when they do not all lie in it."""
    def write(self, offset_bytes: int, data: Buffer | NDArray[Any]) -> None:
        """Overwrite its bytes from ``offset_bytes`` on. Raises IndexError as ``read`` does."""
    def lock(self, nbytes: int) -> str | None:
        """Keep the pages of its first bytes from being swapped out; return why not, else None."""
    def guards_intact(self) -> bool:
        """Return whether nothing has written just before or just behind it."""
    def release(self) -> None:
        """Give the memory back now, or when the operation that another thread runs on it is done.

        Raises
        ------
        BufferError
            While someone still holds a view of it.
        """
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Any = None,
        dl_device: Any = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

Ceiling = Literal["read", "write", "copy", "rmw"]
Stream = Literal[
    "decode_read", "sparse_read", "append", "state_update", "block_copy", "swap", "zero"
]
Element = Literal["word64", "float32", "bfloat16"]

@final
class AllocationCost:
    """What allocations of one size cost, each on average, and what the device holds for them."""

    allocate_seconds: float
    free_seconds: float
    asked_bytes: int
    held_bytes: int

class DeviceFault(RuntimeError):  # noqa: N818 (what happened, as MemoryError is)
    """The device has failed or is gone: nothing that was asked of it can be trusted."""

class Backend:
    """Memory of a device, the stream operations over it, and its ceilings.

    Every operation moves real bytes, is timed by the backend's own clock, and returns a checksum of
    what it read; none knows an architecture. It is done in one of several ``variants``. An
    operation that would leave its memory raises IndexError and touches nothing. Calls from several
    Python threads are served in turn.
    """

    @property
    def facts(self) -> DeviceFacts: ...
    @property
    def cpus(self) -> list[int]:
        """The CPUs that its threads run on; none for a device that has its own."""
    @property
    def pinned(self) -> list[bool]:
        """Whether the system has pinned each thread to its CPU."""
    @property
    def policies(self) -> list[str]:
        """Ways to allocate, the usual one first."""
    def available_bytes(self) -> int:
        """Return how much can be allocated now."""
    def allocate(self, nbytes: int, policy: str = "") -> Memory:
        """Reserve memory; its pages are not touched yet.

        Raises
        ------
        MemoryError
            When there is not so much; the message quotes the size.
        ValueError
            When there is no such policy.
        """
    def allocate_host(self, nbytes: int) -> Memory:
        """Reserve memory of the host to swap with. Raises MemoryError as ``allocate`` does."""
    def allocation_cost(self, nbytes: int, count: int, policy: str = "") -> AllocationCost:
        """Allocate and free so many times ``nbytes``. Raises as ``allocate`` does."""
    def fill(
        self,
        memory: Memory,
        offset_bytes: int,
        nbytes: int,
        seed: int,
        *,
        finite: bool = False,
        part: int = 0,
        parts: int = 1,
    ) -> float:
        """Write pseudo-random bytes (a function of seed and address only); return the seconds.

        ``finite`` makes floats of them that are finite in float16, bfloat16 and float32. Each
        thread fills its share of the range; ``part`` of ``parts`` fills that part of every share.
        """
    def variants(self, stream: Stream) -> list[str]:
        """Return the ways to run an operation, the usual winner first; they move the same bytes.

        Those of the CPU: reads and updates walk one ``page`` after the other, or ``four_pages`` or
        ``eight_pages`` in turn; ``ahead`` prefetches, ``to_l2`` into the second cache. Writes and
        copies store past the cache (``non_temporal``; ``ahead`` and ``next`` prefetch the source),
        by the CPU's string instructions (``rep``), by libc (``memcpy``), or ``plain``.
        """
    def decode_read(self, memory: Memory, plan: PagePlan, variant: str = "") -> StreamResult:
        """Sum every byte under the plan. An empty variant is the usual winner, here and below."""
    def sparse_read(
        self, memory: Memory, index: PagePlan, rows: PagePlan, variant: str = ""
    ) -> StreamResult:
        """Sum every byte under ``index``, then every byte under ``rows``, by that variant."""
    def append(
        self,
        memory: Memory,
        plan: SlotPlan,
        source: Buffer | Memory | NDArray[Any],
        variant: str = "",
    ) -> StreamResult:
        """Write row t of layer l, of T tokens, from row (l * T + t) % source_rows of ``source``.

        ``source`` is ``[source_rows, sum of the segments' row_bytes]``, C-contiguous, and does not
        overlap ``memory``. Rows of the host are meant to be few and to stay in cache:
        ``StreamResult.nbytes`` then counts the bytes written only; rows of a ``Memory`` are
        streamed, and count as read too.
        """
    def state_update(
        self,
        memory: Memory,
        plan: PagePlan,
        *,
        element: Element = "word64",
        addend: int = 0,
        decay: float = 1.0,
        input: float = 0.0,  # noqa: A002 (what the state takes in)
        variant: str = "",
    ) -> StreamResult:
        """Update every element x under the plan in place.

        ``word64``: x + ``addend``, modulo 2**64; the last bytes of a run, fewer than eight, are a
        shorter word. ``float32``: x * ``decay`` + ``input``, both results rounded. ``bfloat16``:
        the same in float32, then rounded to nearest even; values must be finite. Denormal floats
        count as zero.

        Raises
        ------
        ValueError
            When the plan overlaps itself, or a row does not hold whole elements.
        """
    def block_copy(self, memory: Memory, plan: CopyPlan, variant: str = "") -> StreamResult:
        """Copy pages within a memory. ``StreamResult.nbytes`` counts bytes read plus written.

        Raises
        ------
        ValueError
            When a byte would be both read and written.
        """
    def swap(
        self, source: Memory, target: Memory, plan: CopyPlan, variant: str = ""
    ) -> StreamResult:
        """Copy pages from one memory to another.

        Counted as ``block_copy`` counts, but for bytes of a host that is not the device.
        """
    def zero(self, memory: Memory, plan: PagePlan, variant: str = "") -> StreamResult:
        """Write zeros. Raises ValueError when the plan overlaps itself."""
    def ceiling_variants(self, kind: Ceiling) -> list[str]:
        """Return the ways to run a ceiling; the fastest is the ceiling.

        Those of the operations, and for read ``plain_loop``: what a compiler makes of a loop.
        """
    def ceiling(
        self, memory: Memory, kind: Ceiling, variant: str, offset_bytes: int, nbytes: int
    ) -> StreamResult:
        """One contiguous pass over ``nbytes`` from ``offset_bytes``, split evenly.

        ``read`` sums it, ``write`` overwrites it with a nonzero pattern, ``copy`` copies its first
        half to its second, ``rmw`` adds to every word in place. ``StreamResult.nbytes`` counts
        bytes read plus bytes written.
        """

@final
class CpuBackend(Backend):
    """The CPU as a device: pinned threads and the stream operations.

    The kernels are the widest that this CPU runs; the environment variable
    ``KVPROF_INSTRUCTION_SET`` (``baseline``, ``avx2``, ``avx512``; ``neon``) names others. A forked
    child must make a backend of its own.

    Parameters
    ----------
    cpus
        CPUs to pin one thread to each; by default all that this process may use.
    """

    def __init__(self, cpus: Sequence[int] | None = None) -> None: ...

@final
class CacheRule:
    """Which entries of a cache are needed; ``row_bytes`` of one entry, in all layers together."""

    def __init__(
        self,
        *,
        keep: str = "all",
        keep_entries: int = 0,
        clock: str = "decoder",
        entry_tokens: int = 1,
        row_bytes: int,
        begins_at: int = 0,
    ) -> None: ...

@final
class ReplayPart:
    """The pages of one cache in a group."""

    def __init__(
        self,
        *,
        cache: CacheRule,
        rows_per_block: int,
        base_rows: int = 0,
        padding_bytes: int = 0,
        ring_rows: int = 0,
    ) -> None: ...

@final
class ReplayHolding:
    """What an engine holds beside the rows that are needed: `kvprof.plan_group.Holding`."""

    def __init__(
        self,
        *,
        lookahead_tokens: int,
        longest_tokens: int,
        retained_tokens: int,
        window_step: int,
        state_blocks: int,
    ) -> None: ...

@final
class ReplayGroup:
    """Layers that share a block table.

    A block holds ``rows_per_block`` units, of which a row takes ``row_units``; it is
    ``ids_per_block`` ids of the pool. For a cache of prefixes, ``logical`` is what its layers need,
    and ``checkpoints`` says that its states are kept where a prefix ends.
    """

    def __init__(
        self,
        *,
        rule: CacheRule,
        parts: Sequence[ReplayPart],
        rows_per_block: int,
        block_tokens: int,
        row_units: int = 1,
        filler_bytes: int = 0,
        holding: ReplayHolding | None = None,
        pool: int,
        ids_per_block: int = 1,
        logical: Sequence[CacheRule] = (),
        checkpoints: bool = False,
    ) -> None: ...

@final
class ReplayPool:
    """Blocks of one size, of which ``reserved_blocks`` go to no sequence."""

    def __init__(self, *, num_blocks: int, block_bytes: int, reserved_blocks: int = 0) -> None: ...

@final
class AllocationPolicy:
    """How memory is allocated; a `Replay` takes it, once."""

def blocks_policy(
    *,
    groups: Sequence[ReplayGroup],
    pools: Sequence[ReplayPool],
    logical: Sequence[CacheRule],
    capacity_bytes: int,
    encoder_tokens: int = 0,
    prefix_tokens: int = 0,
    prefix_step: int = 0,
) -> AllocationPolicy:
    """Block tables over pools.

    Prefixes are cached where ``prefix_tokens`` is not 0, and found again up to multiples of
    ``prefix_step``.
    """

def reserve_policy(
    *,
    kept: Sequence[CacheRule],
    logical: Sequence[CacheRule],
    reserve: str,
    fit: str,
    unit_bytes: int,
    longest_tokens: int,
    capacity_bytes: int,
    encoder_tokens: int = 0,
) -> AllocationPolicy:
    """One contiguous run a sequence; ``reserve`` is ``max``, ``pow2`` or ``oracle``."""

def grow_policy(
    *,
    tensors: Sequence[tuple[CacheRule, int]],
    logical: Sequence[CacheRule],
    unit_bytes: int,
    capacity_bytes: int,
    encoder_tokens: int = 0,
) -> AllocationPolicy:
    """Tensors that are copied to grow: a cache's, of so many layers each."""

REPLAY_COLUMNS: tuple[str, ...]

@final
class MoveRule:
    """Rows of a cache that a step of decoding reads or writes, in all layers together.

    Parameters
    ----------
    cache
        ``row_bytes`` are those moved for a row: of an update twice its own.
    most_rows
        Of the rows that are kept so many are read at most.
    appends
        The row that a step has made is written, and no other moved.
    """

    def __init__(
        self, cache: CacheRule, *, most_rows: int | None = None, appends: bool = False
    ) -> None: ...

@final
class Replay:
    """Requests through an allocation policy, on one clock.

    In a step each running sequence grows by one token.

    Parameters
    ----------
    ticks_per_s
        Of the clock.
    step_ticks, moves, encoder_tokens
        What a step takes: so many ticks, and one for each byte that it moves.
    prefill_tokens_per_s
        0: prompts are there at once.
    preemption
        ``recompute`` or ``swap``.
    longest_tokens
        Requests that would grow longer are rejected; None: none is.
    jumps
        From block boundary to block boundary, in place of token by token.
    most_samples
        Rows of ``samples`` at most, evenly spaced.
    until_tick, until_completed
        The replay stops once it has observed an instant from this tick on, or one that begins with
        so many requests completed, and stays as it was then; None: at the end.
    """

    def __init__(
        self,
        policy: AllocationPolicy,
        *,
        ticks_per_s: float,
        step_ticks: int = 1,
        moves: Sequence[MoveRule] = (),
        encoder_tokens: int = 0,
        prefill_tokens_per_s: float = 0.0,
        preemption: str = "recompute",
        longest_tokens: int | None = None,
        jumps: bool = True,
        most_samples: int = 2048,
        until_tick: int | None = None,
        until_completed: int | None = None,
    ) -> None: ...
    def feed(
        self,
        *,
        arrival_s: NDArray[np.float64],
        prompt_tokens: NDArray[np.int64],
        output_tokens: NDArray[np.int64],
        hash_offsets: NDArray[np.int64],
        hashes: NDArray[np.uint64],
    ) -> None:
        """Run until the last of these requests is admitted or rejected.

        Raises
        ------
        ValueError
            When arrivals descend, also from batch to batch, or lengths are out of range.
        """
    def finish(self) -> None:
        """Run until nothing is left."""
    @property
    def counts(self) -> dict[str, int]: ...
    @property
    def fullest(self) -> dict[str, int]:
        """The instant at which most bytes were reserved, by REPLAY_COLUMNS."""
    @property
    def now(self) -> dict[str, int]:
        """The instant that was observed last, at first the empty memory."""
    @property
    def stopped(self) -> bool:
        """Whether it stopped before its requests ended; what is fed then has no effect."""
    @property
    def live_tokens(self) -> NDArray[np.int64]:
        """``[sequences]``: how long the running ones are now, in order of admission."""
    def block_tables(self, group: int) -> list[NDArray[np.uint32]]:
        """Ids of the blocks that each of them holds, in order of its tokens.

        Raises
        ------
        TypeError
            When the policy is none of blocks.
        """
    def release_all(self) -> None:
        """Release the running sequences in order of admission; it ends the replay."""
    def take_all(self, pool: int) -> NDArray[np.uint32]:
        """Take every block that no sequence uses: ids as they are handed out one by one."""
    @property
    def means(self) -> dict[str, float]:
        """Averages over time of shares and live sequences, named as in REPLAY_COLUMNS."""
    @property
    def pools(self) -> list[Any]:
        """Blocks of each pool; nothing of contiguous memory.

        At the fullest instant ``used``, ``reclaimable``, ``free``, and of the free ``idle`` while
        another pool is full; the same averaged, as ``mean_used`` and so on; ``most_used``;
        ``full_ratio`` of the time that it was full, or lacked what a request waited for, and
        ``first_full``, the tick at which that was first, None for never.
        """
    @property
    def groups(self) -> list[dict[str, float]]:
        """Blocks of each group: ``used`` at the fullest instant, ``mean_used``, ``most_used``."""
    @property
    def samples(self) -> NDArray[np.int64]:
        """``[samples, len(REPLAY_COLUMNS)]``, evenly spaced."""
