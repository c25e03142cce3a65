"""Hugging Face transformers: what its dynamic caches keep between steps; it places no blocks.

Checked against transformers 5.23 by measuring every tensor of its caches
(`cache_utils.py`: DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer).
"""

from collections.abc import Callable

from kvprof.plugins.engines.transformers_families import FAMILIES, Family
from msgspec.structs import replace

from kvprof.allocation import Grow
from kvprof.binding import bind
from kvprof.hookspecs import hookimpl
from kvprof.layout import (
    All,
    Bound,
    Cache,
    CacheLayout,
    Chunk,
    Dims,
    Field,
    Last,
    Layer,
)
from kvprof.plan import AllocationPlan, Limits

EXACT_CONVOLUTIONS = frozenset({"cca", "ngrams"})
"""Caches whose convolution keeps the inputs it needs; all others keep a column more."""


class Transformers:
    """Windows and chunks keep an entry less, convolutions a column more, states are float32."""

    name = "transformers"
    summary = "Hugging Face transformers: what its dynamic caches keep between steps"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep what the library keeps: general rules first, then those of the model's family."""
        bound = layout.bound
        if bound is None:
            return layout
        family = FAMILIES.get(bound.config.model_type or "", Family())
        if not bound.state_dtype_asked:
            states = bound.dtypes.model if family.model_dtype_states else "float32"
            layout = bind(layout, replace(bound.dtypes, state=states))
        known: dict[Cache, tuple[Cache, ...]] = {}

        def kept(layer: Layer) -> Layer:
            for cache in layer.owns:
                if cache not in known:
                    known[cache] = _kept(cache, family, bound)
            return replace(layer, owns=tuple(k for c in layer.owns for k in known[c]))

        return _without_lost_accesses(replace(layout, layers=tuple(map(kept, layout.layers))))

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Place nothing: tensors grow as they must."""
        return None

    def allocation(self, layout: CacheLayout, limits: Limits) -> Grow:
        """A tensor for each sequence and layer, concatenated anew at each token (DynamicLayer)."""
        return Grow()


def _without_lost_accesses(layout: CacheLayout) -> CacheLayout:
    there = {(layer.index, cache.key) for layer, cache in layout.caches()}
    layers = (
        replace(layer, does=tuple(a for a in layer.does if (a.layer, a.key) in there))
        for layer in layout.layers
    )
    return replace(layout, layers=tuple(layers))


def _kept(cache: Cache, family: Family, bound: Bound) -> tuple[Cache, ...]:
    if cache.key in family.elsewhere:
        return ()
    rules: tuple[Callable[[Cache], Cache], ...] = (
        _keys_and_values,
        _window,
        _convolution,
    )
    for rule in rules:
        cache = rule(cache)
    return family.keep(cache, bound)


def _keys_and_values(cache: Cache) -> Cache:
    """What is both key and value is kept as either."""
    if [field.name for field in cache.fields] != ["kv"]:
        return cache
    (kv,) = cache.fields
    return replace(cache, fields=(replace(kv, name="k"), replace(kv, name="v")))


def _window(cache: Cache) -> Cache:
    """A window lacks the newest token's entry, a chunk is a window; one of 1 slices nothing off.

    A memory of hidden states is cut to its length (modeling_xlnet.py, cache_mem); groups of tokens
    are no window.
    """
    if not isinstance(cache.keep, Last | Chunk):
        return cache
    if cache.entry_tokens > 1 or cache.key == "hidden_states":
        return cache
    return replace(cache, keep=Last(cache.keep.n - 1) if cache.keep.n > 1 else All())


def _convolution(cache: Cache) -> Cache:
    if cache.key in EXACT_CONVOLUTIONS:
        return cache
    return replace(cache, fields=tuple(_column_more(field) for field in cache.fields))


def _column_more(field: Field) -> Field:
    dims: Dims = tuple((n, size + 1 if n == "conv_width" else size) for n, size in field.dims)
    return replace(field, dims=dims)


@hookimpl
def kvprof_engines() -> list[Transformers]:
    """Offer the engine ``transformers``."""
    return [Transformers()]
