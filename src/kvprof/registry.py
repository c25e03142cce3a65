"""Entry points of the group ``kvprof`` in, the architectures, engines and models they offer out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

import pluggy
from msgspec import Struct, convert, to_builtins

from kvprof import __version__, hookspecs
from kvprof.catalogue import CatalogueModel, read_catalogue
from kvprof.config import ModelConfig
from kvprof.errors import (
    ConfigError,
    KvprofError,
    PluginError,
    PluginWarning,
    UsageError,
)
from kvprof.hookspecs import PROJECT, Architecture, Engine

STRICT_VARIABLE = "KVPROF_STRICT_PLUGINS"

Offer = TypeVar("Offer")


class Origin(Struct, frozen=True):
    """The plugin that offers something: entry point, distribution and version."""

    plugin: str
    distribution: str
    version: str

    @property
    def builtin(self) -> bool:
        return self.distribution == PROJECT

    def __str__(self) -> str:
        return f"{self.plugin} ({self.distribution} {self.version})"


class Offered(Struct, Generic[Offer], frozen=True):
    """An architecture, engine or model, and who offers it."""

    what: Offer
    origin: Origin


class Registry(Struct, frozen=True):
    """All that the installed plugins offer, by name; a third party wins over a built-in."""

    architectures: dict[str, Offered[Architecture]]
    engines: dict[str, Offered[Engine]]
    models: dict[str, CatalogueModel]

    def origins(self) -> set[Origin]:
        """The plugins that offer an architecture or an engine."""
        return {o.origin for o in self.architectures.values()} | {
            o.origin for o in self.engines.values()
        }

    def architecture(self, name: str) -> Offered[Architecture]:
        """The architecture of that name. Raises UsageError when there is none."""
        return _find(self.architectures, name, "architecture", "kvprof list architectures")

    def engine(self, name: str) -> Offered[Engine]:
        """The engine of that name. Raises UsageError when there is none."""
        return _find(self.engines, name, "engine", "kvprof list engines")

    def model(self, name: str) -> CatalogueModel:
        """The catalogue model of that name or alias. Raises UsageError when there is none."""
        return _find(self.models, name.lower(), "model", "kvprof list models")

    def claimant(self, config: ModelConfig) -> Offered[Architecture] | None:
        """The architecture that claims the config's model type, third parties first."""
        claims = [
            offered
            for offered in self.architectures.values()
            if config.model_type in offered.what.model_types
        ]
        return min(claims, key=lambda offered: offered.origin.builtin, default=None)

    def unclaimed(self, config: ModelConfig, why: str) -> ConfigError:
        """The error for a config that nobody claims and whose fields do not say enough."""
        known = sorted({t for o in self.architectures.values() for t in o.what.model_types})
        model_type = (config.model_type or "")[:60]
        nearest = _nearest(model_type, known)
        meant = f"Did you mean {' or '.join(nearest)}? " if nearest else ""
        claimed = f"model_type {model_type!r} is claimed by no plugin, and"
        return ConfigError(
            f"{claimed if model_type else 'no model_type is given, and'} {why}",
            hint=f"{meant}{len(known)} model types are known. Or take a family's reference model "
            "with --arch; `kvprof list architectures` shows them all.",
        )


def _find(offers: dict[str, Offer], name: str, what: str, listing: str) -> Offer:
    if name in offers:
        return offers[name]
    nearest = _nearest(name[:60], offers)
    meant = f"Did you mean {' or '.join(nearest)}? " if nearest else ""
    raise UsageError(
        f"no {what} is named {name[:60]!r}", hint=f"{meant}`{listing}` shows them all."
    )


def call_plugin(origin: str, kind: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a plugin's function; it must return ``kind``.

    Raises
    ------
    PluginError
        When it raises anything but kvprof's own errors, or returns something else.
    """
    try:
        returned = function(*arguments)
    except (KvprofError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"the plugin {origin} failed in {function.__name__}(): {type(error).__name__}: {error}",
            hint="Mend it, or uninstall it.",
        ) from error
    if not isinstance(returned, kind):
        raise PluginError(
            f"the plugin {origin} returned {returned!r} from {function.__name__}(), which is "
            f"no {getattr(kind, '__name__', kind)}",
            hint="Mend it, or uninstall it.",
        )
    return returned


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    from difflib import get_close_matches  # noqa: PLC0415 - needed only where something is wrong

    return get_close_matches(name, list(known), n=3)


def engine(name: str) -> Engine:
    """The engine of that name. Raises UsageError when there is none."""
    return registry().engine(name).what


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Load every plugin once; architectures come in the order of the field's history.

    A broken plugin is skipped with a warning that names it; with ``KVPROF_STRICT_PLUGINS=1`` it
    raises instead.

    Raises
    ------
    PluginError
        In strict mode, when a plugin cannot be loaded or offers something unusable.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    origins: dict[str, Origin] = {}
    for entry_point in sorted(set(entry_points(group=PROJECT)), key=lambda e: (e.name, e.value)):
        origin = _origin(entry_point)
        name = _guarded(origin, partial(_register, manager, entry_point))
        if name is not None:
            origins[name] = origin
    architectures = _collect(manager, origins, "kvprof_architectures", Architecture)
    engines = _collect(manager, origins, "kvprof_engines", Engine)
    models = {name: model for model in read_catalogue() for name in (model.name, *model.aliases)}
    for offered in _offers(manager, origins, "kvprof_models", CatalogueModel):
        models |= dict.fromkeys((offered.what.name, *offered.what.aliases), offered.what)
    dates = {name: model.date for name, model in models.items()}
    history = sorted(
        architectures.items(), key=lambda item: dates.get(item[1].what.reference, "9999")
    )
    return Registry(dict(history), dict(sorted(engines.items())), models)


def _origin(entry_point: EntryPoint) -> Origin:
    if entry_point.module.startswith("kvprof.plugins."):
        # Parsing a distribution's metadata takes as long as all else that loading them does.
        return Origin(entry_point.name, PROJECT, __version__)
    distribution = entry_point.dist
    if distribution is None:
        return Origin(entry_point.name, "unknown distribution", "unknown version")
    return Origin(entry_point.name, distribution.name, distribution.version)


def _register(manager: pluggy.PluginManager, entry_point: EntryPoint) -> str:
    plugin, name = entry_point.load(), f"{entry_point.name}:{entry_point.value}"
    manager.register(plugin, name=name)
    try:
        manager.check_pending()
        if not manager.get_hookcallers(plugin):
            raise TypeError("it implements no hook of kvprof; is @hookimpl missing?")
    except (pluggy.PluginValidationError, TypeError):
        manager.unregister(plugin)
        raise
    return name


def _guarded(origin: Origin, load: Callable[[], Any]) -> Any:
    """Run a plugin's code; whatever it raises becomes a warning, or a PluginError when strict."""
    try:
        return load()
    except (Exception, SystemExit) as error:  # a plugin must never take kvprof down
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        message = f"the plugin {origin} is broken and was skipped: {reason}"
        if os.environ.get(STRICT_VARIABLE, "0") not in ("", "0"):
            raise PluginError(
                f"the plugin {origin} is broken: {reason}",
                hint=f"Mend or uninstall it; without {STRICT_VARIABLE} it is skipped.",
            ) from error
        warnings.warn(message, PluginWarning, stacklevel=2)
        return None


def _offers(
    manager: pluggy.PluginManager, origins: dict[str, Origin], hook: str, kind: type
) -> Iterator[Offered[Any]]:
    """What each plugin returns from a hook, asked one by one so that one cannot spoil the rest."""
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        origin = origins[implementation.plugin_name]
        for what in _guarded(origin, partial(_returned, implementation.function)) or ():
            if _guarded(origin, partial(_check_offer, what, hook, kind)):
                yield Offered(what, origin)


def _returned(hook: Callable[[], Iterable[Any]]) -> list[Any]:
    return list(hook())


def _check_offer(what: object, hook: str, kind: type) -> bool:
    name = getattr(what, "name", None)
    if not isinstance(what, kind) or not isinstance(name, str) or not name:
        raise TypeError(f"{hook} returned {what!r}, which is no {kind.__name__}")
    if isinstance(what, CatalogueModel):
        convert(to_builtins(what), CatalogueModel)  # structs do not check what they are made of
    if isinstance(what, Architecture | Engine) and not isinstance(what.summary, str):
        raise TypeError(f"{name}.summary must be one line of text")
    if isinstance(what, Architecture):
        _check_claims(what)
    return True


def _check_claims(what: Architecture) -> None:
    if not isinstance(what.reference, str):
        raise TypeError(f"{what.name}.reference must be the name of a catalogue model")
    types = what.model_types
    listed = isinstance(types, Collection) and not isinstance(types, str)
    if not listed or not all(isinstance(model_type, str) for model_type in types):
        raise TypeError(f"{what.name}.model_types must be a collection of model types")


def _collect(
    manager: pluggy.PluginManager, origins: dict[str, Origin], hook: str, kind: type
) -> dict[str, Offered[Any]]:
    """Offers by name: a third party's replaces a built-in's; of two others the first stays."""
    found: dict[str, Offered[Any]] = {}
    offers = sorted(_offers(manager, origins, hook, kind), key=lambda o: not o.origin.builtin)
    for offered in offers:
        name = offered.what.name
        there = found.get(name)
        if there is not None and not there.origin.builtin:
            message = f"{offered.origin} also offers {name!r}; that of {there.origin} is used"
            warnings.warn(message, PluginWarning, stacklevel=2)
            continue
        found[name] = offered
    return found
