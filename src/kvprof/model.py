"""A name, a label or a path in, a `Model` out: its config, its layout, its reader."""

from __future__ import annotations

from msgspec import Struct

from kvprof.config import ModelConfig
from kvprof.errors import ConfigError, PluginError
from kvprof.hookspecs import Architecture
from kvprof.inference import infer_layout, refuse_unkept
from kvprof.inputs import config_named, model_named
from kvprof.labels import label_of
from kvprof.layout import CacheLayout
from kvprof.registry import Offered, call_plugin, registry

GENERAL_READER = "general reader"


class Model(Struct, frozen=True):
    """A model whose layout is known.

    Attributes
    ----------
    architecture
        The family that the layout shows, or the plugin's own name for it.
    plugin
        Who read the config: ``plugin (distribution version)``.
    inferred
        Whether no plugin claims the model type, so that its fields alone were read.
    inferred_from
        The fields that were read then.
    """

    config: ModelConfig
    layout: CacheLayout
    architecture: str
    plugin: str
    inferred: bool
    inferred_from: tuple[str, ...] = ()


def reference_model(architecture: str) -> Model:
    """The reference model of an architecture: what ``--arch`` means.

    Raises
    ------
    UsageError
        When there is no such architecture.
    PluginError
        When it names a reference that is in no catalogue, or its layout is unusable.
    """
    offered = registry().architecture(architecture)
    reference = offered.what.reference
    if reference not in registry().models:
        raise PluginError(
            f"the architecture {architecture!r} of {offered.origin} has the reference model "
            f"{reference!r}, which is in no catalogue",
            hint="A plugin adds its models through the hook kvprof_models.",
        )
    return lay_out(registry().model(reference).model_config(), offered)


def catalogue_model(name: str) -> Model:
    """A model of the catalogue. Raises UsageError when there is none of that name."""
    return lay_out(registry().model(name).model_config())


def named_model(name: str) -> Model:
    """What ``--model`` means: a catalogue name, else a Hugging Face id. Raises as `model_named`."""
    return lay_out(model_named(name))


def config_model(path: str) -> Model:
    """A model from its config.json, GGUF file or Hugging Face id. Raises as `config_named`."""
    return lay_out(config_named(path))


def lay_out(config: ModelConfig, offered: Offered[Architecture] | None = None) -> Model:
    """Lay out a config by the architecture given, else the one that claims it, else its fields.

    Raises
    ------
    ConfigError
        When the config does not say enough or contradicts itself.
    PluginError
        When a plugin fails, or describes a layout that cannot be.
    """
    offered = offered or registry().claimant(config)
    if offered is None:
        return _inferred(config)
    layout = _plugin_layout(config, offered)
    label = label_of(layout) or offered.what.name
    return Model(config, layout, label, str(offered.origin), inferred=False)


def _inferred(config: ModelConfig) -> Model:
    refuse_unkept(config)
    try:
        layout, fields = infer_layout(config)
    except ConfigError as error:
        raise registry().unclaimed(config, f"its fields do not say enough: {error}") from None
    label = label_of(layout) or "unknown"
    return Model(config, layout, label, GENERAL_READER, inferred=True, inferred_from=fields)


def _plugin_layout(config: ModelConfig, offered: Offered[Architecture]) -> CacheLayout:
    function = offered.what.layout
    layout: CacheLayout = call_plugin(str(offered.origin), CacheLayout, function, config)
    # Tests hold the built-in plugins to this; checking them again each time costs every listing.
    if offered.origin.builtin:
        return layout
    from kvprof.conformance import layout_problems  # noqa: PLC0415

    if problems := layout_problems(layout):
        raise PluginError(
            f"the plugin {offered.origin} laid out {config.source} wrongly: {problems[0]}",
            hint=f"`kvprof check {offered.what.name}` lists every reason ({len(problems)}).",
        )
    return layout
