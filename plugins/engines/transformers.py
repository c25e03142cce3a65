"""Hugging Face transformers: what its dynamic caches keep between steps; it places no blocks.

Checked against transformers 5.23 by measuring every tensor of its caches
(`cache_utils.py`: DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer).
"""

from kvprof.plugins.engines.transformers_families import FAMILIES, Family
from msgspec.structs import replace

from kvprof.allocation import Grow
from kvprof.binding import bind
from kvprof.conventions import accept_dtype, keys_and_values, with_caches
from kvprof.hookspecs import hookimpl
from kvprof.layout import All, Bound, Cache, CacheLayout, Chunk, Dims, Field, Last
from kvprof.plan import AllocationPlan, Limits

_DTYPES = ("float32", "float16", "bfloat16")
"""A dynamic cache keeps what attention gives it, and attention has no kernels for 8-bit floats."""
_EXACT_CONVOLUTIONS = frozenset({"cca", "ngrams"})
"""Caches whose convolution keeps the inputs it needs; all others keep a column more."""


class Transformers:
    """Windows and chunks keep an entry less, convolutions a column more, states are float32."""

    name = "transformers"
    summary = "Hugging Face transformers: what its dynamic caches keep between steps"
    describes = "5.23"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """Keep what the library keeps: general rules first, then those of the model's family."""
        bound = layout.bound
        if bound is None:
            return layout
        accept_dtype("transformers", bound, _DTYPES)
        family = FAMILIES.get(bound.config.model_type or "", Family())
        if not bound.state_dtype_asked:
            states = bound.dtypes.model if family.model_dtype_states else "float32"
            layout = bind(layout, replace(bound.dtypes, state=states))
        return with_caches(layout, lambda cache: _kept(cache, family, bound))

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Place nothing: tensors grow as they must."""
        return None

    def allocation(self, layout: CacheLayout, limits: Limits) -> Grow:
        """A tensor for each sequence and layer, concatenated anew at each token (DynamicLayer)."""
        return Grow()


def _kept(cache: Cache, family: Family, bound: Bound) -> tuple[Cache, ...]:
    if cache.key in family.elsewhere:
        return ()
    return family.keep(_convolution(_window(keys_and_values(cache))), bound)


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
    if cache.key in _EXACT_CONVOLUTIONS:
        return cache
    return replace(cache, fields=tuple(_column_more(field) for field in cache.fields))


def _column_more(field: Field) -> Field:
    dims: Dims = tuple((n, size + 1 if n == "conv_width" else size) for n, size in field.dims)
    return replace(field, dims=dims)


@hookimpl
def kvprof_engines() -> list[Transformers]:
    """Offer the engine ``transformers``."""
    return [Transformers()]
