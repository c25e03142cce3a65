"""KV sharing: the last layers read the caches of layers before them (Gemma 3n, Gemma 4 E2B)."""

from typing import Any

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma3n_text": {"num_kv_shared_layers": 15, "head_dim": 256}
}
"""What the config classes fill in when a published config leaves it out."""


class SharedCaches:
    """Decoders whose last ``num_kv_shared_layers`` layers keep nothing of their own."""

    name = "shared"
    summary = "KV sharing: the last layers keep nothing and read a cache of a layer before them"
    reference = "gemma-3n-e4b"
    model_types = frozenset({"gemma3n_text"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Owners keep ``k`` and ``v``; the others read those of the last owner of their kind."""
        return read_layout(config.with_defaults(DEFAULTS.get(config.model_type or "", {})))


@hookimpl
def kvprof_architectures() -> list[SharedCaches]:
    """Offer the architecture ``shared``."""
    return [SharedCaches()]
