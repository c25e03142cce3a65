"""Loads, and lays out what cannot be: ``kvprof check`` says why."""

from kvprof.catalogue import CatalogueModel
from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layers import attention_cache, layer, reading_layer
from kvprof.layout import Cache, CacheLayout, Field, Last, Layer

CONFIG = {"model_type": "broken_layout", "num_hidden_layers": 3}


class WrongLayout:
    """Three layers, each wrong in its own way."""

    name = "wrong-layout"
    summary = "a layout that cannot be"
    reference = "wrong-layout-3l"
    model_types = frozenset({"broken_layout"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """A head of no elements, a cache that nobody reads, a reader of a cache without owner."""
        no_elements = attention_cache(8, 0)
        unread = attention_cache(8, 128, keep=Last(64))
        return CacheLayout(
            (
                layer(0, no_elements),
                Layer(1, (unread,)),
                reading_layer(2, 1, attention_cache(8, 128)),
            )
        )


class BadReference:
    """Names a reference that is in no catalogue."""

    name = "bad-reference"
    summary = "a reference that nobody knows"
    reference = "no-such-model"
    model_types = frozenset({"bad_reference"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """A sound layout, of which there is no example."""
        return CacheLayout((layer(0, attention_cache(config.kv_heads, config.head_dim)),))


class Buggy:
    """Fails in a way that is no ConfigError."""

    name = "buggy-layout"
    summary = "a layout() with a bug"
    reference = "wrong-layout-3l"
    model_types = frozenset({"broken_layout"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Look for a field that is not there."""
        return CacheLayout((config.fields["no_such_field"],))


class Malformed:
    """Puts lists of numbers where named dimensions belong."""

    name = "malformed-layout"
    summary = "a layout of the wrong types"
    reference = "wrong-layout-3l"
    model_types = frozenset({"broken_layout"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """What a type checker would refuse."""
        return CacheLayout((layer(0, Cache("kv", (Field("k", [8, 128]),))),))  # type: ignore


@hookimpl
def kvprof_architectures() -> list[object]:
    """Offer all of them."""
    return [WrongLayout(), BadReference(), Buggy(), Malformed()]


@hookimpl
def kvprof_models() -> list[CatalogueModel]:
    """Offer their reference model."""
    return [
        CatalogueModel(
            name="wrong-layout-3l",
            title="Wrong",
            date="2026-01",
            attention="wrong",
            config=CONFIG,
            source="tests",
            confidence="C",
        )
    ]
