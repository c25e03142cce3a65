"""A layout that a plugin built from a config in, the same layout out, or why it cannot be."""

from __future__ import annotations

from kvprof.config import MAX_DIMENSION, MAX_LAYERS, ModelConfig
from kvprof.layout import CacheLayout


def bounded(config: ModelConfig, layout: CacheLayout) -> CacheLayout:
    """The layout, once its sizes are found to be such as are read.

    Single fields of a config are bounded as they are read; layers and dimensions made of several
    (a convolution's channels) are bounded here.

    Raises
    ------
    ConfigError
        When there are more than `MAX_LAYERS` layers, or a dimension exceeds `MAX_DIMENSION`.
    """
    layers = len(layout.layers)
    if layers > MAX_LAYERS:
        config.refuse(f"it comes to {layers} layers; at most {MAX_LAYERS} are read")
    for cache in {cache for _, cache in layout.caches()}:
        for field in cache.fields:
            for name, size in field.dims:
                if size > MAX_DIMENSION:
                    config.refuse(
                        f"{name} of {field.name} comes to {size}; at most {MAX_DIMENSION} are read"
                    )
    return layout
