"""The vocabulary in which an architecture says what it keeps and what one decode step moves.

A plugin turns a config into a `CacheLayout`; everything else is derived from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from math import prod

from msgspec import Struct

from kvprof.config import ModelConfig
from kvprof.dtypes import Dtypes

# dtype roles, bound to element types by kvprof.binding
CACHE = "cache"
"""Entries per token: what `--cache-dtype` sets."""
STATE = "state"
"""Recurrent state: what `--state-dtype` sets."""
MODEL = "model"
"""Activations kept as the model computes them, such as a convolution's window."""

SCALE = "scale"
"""What a packed format adds to a field: no role that a plugin gives."""

APART = "apart"
"""Codec of scales that lie behind all rows of a page, not beside the values of their row."""

Dims = tuple[tuple[str, int], ...]
"""Named dimensions, outermost first: ``(("kv_heads", 8), ("head_dim", 128))``."""


class Field(Struct, frozen=True):
    """One stored tensor: its shape per entry (or per sequence) and its dtype.

    ``dtype`` is a role (`CACHE`, `STATE`, `MODEL`) or a fixed element type. ``codec`` names the
    field's place in a packed record (``mla_latent``, ``mla_rope``, ``mla_index``); ``plain`` has
    none, `APART` is given by formats that keep scales behind all rows of a page.

    ``sum_of`` says of what the innermost dimension is the sum, each term a product of dimensions:
    a convolution's channels, which tensor parallelism divides term by term. ``role`` is what
    binding leaves of the role that a bound dtype stands for; `SCALE` of a scale that it added.
    """

    name: str
    dims: Dims
    dtype: str = CACHE
    codec: str = "plain"
    sum_of: tuple[Dims, ...] = ()
    role: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(size for _, size in self.dims)

    @property
    def elements(self) -> int:
        return prod(size for _, size in self.dims)


class All(Struct, frozen=True):
    """Every entry is kept."""

    def __str__(self) -> str:
        return "All"


class _Sized(Struct, frozen=True):
    n: int

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.n})"


class Last(_Sized, frozen=True):
    """The last n entries: a sliding window as the mask counts it, the newest token included."""


class Chunk(_Sized, frozen=True):
    """The entries since the last multiple of n: chunked attention."""


class Tail(_Sized, frozen=True):
    """The tokens not yet folded into a whole group of n: a compressor's buffer."""


class Once(Struct, frozen=True):
    """One value per sequence: recurrent state."""

    def __str__(self) -> str:
        return "Once"


class TopK(_Sized, frozen=True):
    """n selected entries: sparse attention."""


class Whole(Struct, frozen=True):
    """All of a state."""

    def __str__(self) -> str:
        return "Whole"


Keep = All | Last | Chunk | Tail | Once
Span = All | Last | TopK | Whole


class Clock(str, Enum):
    """What makes the entries of a cache grow."""

    DECODER = "decoder"
    ENCODER = "encoder"
    SEQUENCE = "sequence"


class Mode(str, Enum):
    """What one decode step does to the rows it touches."""

    READ = "read"
    APPEND = "append"
    RMW = "rmw"


class Cache(Struct, frozen=True):
    """One thing that a layer keeps: the fields of an entry and how long entries live.

    ``begins_at``: a sequence of fewer tokens keeps none yet. It is for conventions of engines that
    place nothing, which plans and the compiled allocator do not know.
    """

    key: str
    fields: tuple[Field, ...]
    keep: Keep = All()
    clock: Clock = Clock.DECODER
    entry_tokens: int = 1
    begins_at: int = 0


class Access(Struct, frozen=True):
    """What one decode step does to the cache ``key`` that layer ``layer`` owns."""

    layer: int
    key: str
    span: Span
    mode: Mode


class Layer(Struct, frozen=True):
    """A layer: the caches that it owns and what it does, to its own or to another's."""

    index: int
    owns: tuple[Cache, ...] = ()
    does: tuple[Access, ...] = ()


class Bound(Struct, frozen=True):
    """Where a bound layout came from, for engines that treat a family or a checkpoint apart.

    Attributes
    ----------
    config
        The config that was read.
    dtypes
        What the roles of the layout stand for.
    cache_dtype_asked, state_dtype_asked
        Whether somebody asked for the dtype; an engine may choose another where nobody did.
    """

    config: ModelConfig
    dtypes: Dtypes
    cache_dtype_asked: bool = False
    state_dtype_asked: bool = False


class CacheLayout(Struct, frozen=True):
    """What a model keeps, layer by layer in model order.

    ``query_heads`` tells MHA from GQA; nothing that is kept depends on it. ``draft`` are the layers
    of its own multi-token predictor, numbered on from the others, which are kept when it speculates
    and not otherwise. ``bound`` is there once dtypes are bound.
    """

    layers: tuple[Layer, ...]
    query_heads: int | None = None
    draft: tuple[Layer, ...] = ()
    bound: Bound | None = None

    def caches(self) -> Iterator[tuple[Layer, Cache]]:
        """Every owned cache with its layer, in model order."""
        for layer in self.layers:
            for cache in layer.owns:
                yield layer, cache


def held(cache: Cache, tokens: int, encoder_tokens: int = 0) -> range:
    """Indices of the entries that ``cache`` holds for one sequence.

    T (``tokens``) counts the tokens whose entries are held once the step is done, E
    (``encoder_tokens``) the encoder positions kept. The range ends at the number of entries made
    so far. This is the only place with retention arithmetic (the compiled allocator mirrors it,
    and a test holds the two together).
    """
    if tokens < cache.begins_at:
        return range(0)
    if isinstance(cache.keep, Once):
        return range(1 if tokens >= 1 else 0)
    counted = encoder_tokens if cache.clock is Clock.ENCODER else tokens
    made = counted // cache.entry_tokens
    match cache.keep:
        case All():
            return range(made)
        case Last(n):
            return range(max(0, made - n), made)
        case Chunk(n):
            return range((made - 1) // n * n if made else 0, made)
        case Tail(n):
            return range(made - made % n, made)
    raise TypeError(f"unknown retention {cache.keep!r}")


def entries(cache: Cache, tokens: int, encoder_tokens: int = 0) -> int:
    """Entries of ``cache`` held by one sequence of T tokens (E encoder positions).

    With n = floor(T / entry_tokens): ``All`` n; ``Last(w)`` min(n, w); ``Chunk(c)``
    ((n - 1) mod c) + 1, 0 at n = 0; ``Tail(r)`` n mod r; ``Once`` 1 for T >= 1; an ENCODER clock
    counts E.
    """
    return len(held(cache, tokens, encoder_tokens))


def most_entries(keep: Keep) -> int | None:
    """The most entries that a bounded retention can hold; None when it grows without bound."""
    match keep:
        case All():
            return None
        case Last(n) | Chunk(n):
            return n
        case Tail(n):
            return n - 1
        case Once():
            return 1
