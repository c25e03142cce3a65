"""The hooks that a plugin may implement, and what the objects it returns must offer."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pluggy

if TYPE_CHECKING:
    from kvprof.catalogue import CatalogueModel
    from kvprof.config import ModelConfig
    from kvprof.layout import CacheLayout
    from kvprof.plan import AllocationPlan, Limits

PROJECT = "kvprof"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@runtime_checkable
class Architecture(Protocol):
    """What must be kept per token and per sequence: the architecture axis.

    Attributes
    ----------
    name
        What ``--arch`` takes.
    summary
        One line for ``kvprof list architectures``.
    reference
        The catalogue model that ``--arch NAME`` uses.
    model_types
        The ``model_type`` values of configs that this architecture reads.
    """

    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def model_types(self) -> Collection[str]: ...

    def layout(self, config: ModelConfig) -> CacheLayout:
        """What a model of this config keeps.

        Raises
        ------
        ConfigError
            When the config does not say enough, or contradicts itself.
        """


@runtime_checkable
class Engine(Protocol):
    """How a layout is placed in memory: the engine axis.

    An engine may also offer ``allocation(layout, limits)``, which takes what `plan` takes and names
    the compiled policy that a replay runs, with its parameters: `kvprof.allocation`. Without it the
    replay allocates the blocks of the plan.
    """

    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...

    def convention(self, layout: CacheLayout) -> CacheLayout:
        """What the engine keeps instead of what is needed; the layout itself when it agrees."""

    def plan(self, layout: CacheLayout, limits: Limits) -> AllocationPlan | None:
        """Place a bound layout: groups, pages, pools. None when the engine places nothing."""


@hookspec
def kvprof_architectures() -> Iterable[Architecture]:
    """Return the architectures that this plugin describes.

    Examples
    --------
    ::

        from kvprof.hookspecs import hookimpl
        from kvprof.layers import attention_cache, layer
        from kvprof.layout import CacheLayout

        class HalfHeads:
            name = "half-heads"
            summary = "every layer keeps half of its heads"
            reference = "half-heads-1b"
            model_types = frozenset({"half_heads"})

            def layout(self, config):
                cache = attention_cache(config.heads // 2, config.head_dim)
                return CacheLayout(tuple(layer(i, cache) for i in range(config.integer("layers"))))

        @hookimpl
        def kvprof_architectures():
            return [HalfHeads()]

    Its reference must be a model of its own type: `kvprof_models` adds one.
    """
    return ()


@hookspec
def kvprof_engines() -> Iterable[Engine]:
    """Return the engines that this plugin describes.

    Examples
    --------
    ::

        from kvprof.hookspecs import hookimpl
        from kvprof.paging import paged_plan

        class Blocks128:
            name = "blocks128"
            summary = "blocks of 128 tokens, whatever was asked for"

            def convention(self, layout):
                return layout

            def plan(self, layout, limits):
                return paged_plan(layout, limits, block_size=128)

        @hookimpl
        def kvprof_engines():
            return [Blocks128()]
    """
    return ()


@hookspec
def kvprof_models() -> Iterable[CatalogueModel]:
    """Return models to add to the catalogue, such as a new architecture's reference.

    Examples
    --------
    ::

        from kvprof.catalogue import CatalogueModel
        from kvprof.hookspecs import hookimpl

        @hookimpl
        def kvprof_models():
            return [CatalogueModel(
                name="half-heads-1b", title="Half Heads 1B", date="2026-01", attention="half",
                config={"model_type": "half_heads", "num_hidden_layers": 16,
                        "num_attention_heads": 16, "hidden_size": 2048},
                source="https://example.org/half-heads", confidence="A")]
    """
    return ()
