"""Hugging Face transformers: what its dynamic caches keep between steps; it places no blocks."""

from msgspec.structs import replace

from kvprof.binding import bind
from kvprof.hookspecs import hookimpl
from kvprof.layout import Cache, CacheLayout, Chunk, Last, Layer
from kvprof.plan import AllocationPlan, Limits


class Transformers:
    name = "transformers"
    summary = "Hugging Face transformers: windows keep one entry less, states are float32"

    def convention(self, layout: CacheLayout) -> CacheLayout:
        b = layout.bound
        if not b.state_dtype_asked:
            layout = bind(layout, replace(b.dtypes, state="float32"))
        return replace(layout, layers=tuple(replace(l, owns=tuple(_kept(c) for c in l.owns)) for l in layout.layers))

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        return None


def _kept(cache):
    fields = tuple(
        replace(field, dims=tuple((n, size + 1 if n == "conv_width" else size) for n, size in field.dims))
        for field in cache.fields
    )
    keep = cache.keep
    if isinstance(keep, Last | Chunk):
        keep = Last(keep.n - 1)
    return replace(cache, fields=fields, keep=keep)


@hookimpl
def kvprof_engines() -> list[Transformers]:
    return [Transformers()]
