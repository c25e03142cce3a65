"""Entry points of the group ``kvprof`` in, the architectures, engines and models they offer out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

import pluggy
from msgspec import Struct

from kvprof import hookspecs
from kvprof.catalogue import CatalogueModel, read_catalogue
from kvprof.config import ModelConfig
from kvprof.errors import ConfigError, PluginError, UsageError
from kvprof.hookspecs import PROJECT, Architecture, Engine

log = logging.getLogger("kvprof")

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
        nearest = get_close_matches(config.model_type or "", known, n=3)
        meant = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
        claimed = f"model_type {config.model_type!r} is claimed by no plugin, and"
        return ConfigError(
            f"{claimed if config.model_type else 'no model_type is given, and'} {why}",
            hint=f"Known model types: {', '.join(known)}.{meant}\n"
            f"Or take a family's reference model with --arch {'|'.join(self.architectures)}.",
        )


def _find(offers: dict[str, Offer], name: str, what: str, listing: str) -> Offer:
    if name in offers:
        return offers[name]
    nearest = get_close_matches(name, offers, n=3)
    meant = f"Did you mean {' or '.join(nearest)}? " if nearest else ""
    raise UsageError(
        f"no {what} is named {name[:60]!r}", hint=f"{meant}`{listing}` shows them all."
    )


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
    origins: dict[object, Origin] = {}
    for entry_point in sorted(set(entry_points(group=PROJECT)), key=lambda e: (e.name, e.value)):
        origin = _origin(entry_point)
        with_origin = _guarded(origin, lambda e=entry_point: _register(manager, e))
        if with_origin is not None:
            origins[with_origin] = origin
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
    distribution = entry_point.dist
    if distribution is None:
        return Origin(entry_point.name, "unknown distribution", "unknown version")
    return Origin(entry_point.name, distribution.name, distribution.version)


def _register(manager: pluggy.PluginManager, entry_point: EntryPoint) -> object:
    plugin = entry_point.load()
    manager.register(plugin, name=f"{entry_point.name}:{entry_point.value}")
    try:
        manager.check_pending()
    except pluggy.PluginValidationError:
        manager.unregister(plugin)
        raise
    return plugin


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
        log.warning("%s", message)
        return None


def _offers(
    manager: pluggy.PluginManager, origins: dict[object, Origin], hook: str, kind: type[Offer]
) -> Iterator[Offered[Offer]]:
    """What each plugin returns from a hook, asked one by one so that one cannot spoil the rest."""
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        origin = origins[implementation.plugin]
        for what in _guarded(origin, lambda i=implementation: list(i.function())) or ():
            if _guarded(origin, lambda w=what: _check_offer(w, hook, kind)):
                yield Offered(what, origin)


def _check_offer(what: object, hook: str, kind: type) -> bool:
    name = getattr(what, "name", None)
    if not isinstance(what, kind) or not isinstance(name, str) or not name:
        raise TypeError(f"{hook} returned {what!r}, which is no {kind.__name__}")
    if kind is Architecture and (
        isinstance(what.model_types, str) or not isinstance(what.model_types, Collection)  # type: ignore[attr-defined]
    ):
        raise TypeError(f"{name}.model_types must be a collection of model types")
    return True


def _collect(
    manager: pluggy.PluginManager, origins: dict[object, Origin], hook: str, kind: type[Offer]
) -> dict[str, Offered[Offer]]:
    """Offers by name: a third party's replaces a built-in's, the first of two third parties stays."""
    found: dict[str, Offered[Offer]] = {}
    offers = sorted(_offers(manager, origins, hook, kind), key=lambda o: not o.origin.builtin)
    for offered in offers:
        name: str = offered.what.name  # type: ignore[attr-defined]
        there = found.get(name)
        if there is not None and not there.origin.builtin:
            log.warning(
                "%s also offers %r; the one of %s is used", offered.origin, name, there.origin
            )
            continue
        found[name] = offered
    return found
