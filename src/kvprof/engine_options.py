"""Settings that an engine has of its own: what it offers, and what was chosen for it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kvprof.errors import UsageError
from kvprof.hookspecs import Engine
from kvprof.plan import Limits


class EngineOption(Struct, frozen=True):
    """A setting of an engine, chosen by ``--engine-option ENGINE.NAME=VALUE``.

    Attributes
    ----------
    name, summary, default
        What it is called, what it does in one line, and its value when it is not chosen.
    choices
        What it may be; empty: a decimal above 0 and at most 1.
    """

    name: str
    summary: str
    default: str
    choices: tuple[str, ...] = ()

    def chosen(self, limits: Limits) -> str:
        """What was chosen of it, else its default."""
        return limits.option(self.name, self.default)


Chosen = tuple[tuple[str, str, str], ...]
"""``(engine, name, value)`` of each setting that was chosen."""


def options_of(engine: Engine) -> tuple[EngineOption, ...]:
    """The settings that an engine offers; none where it names none."""
    offered = getattr(engine, "options", ())
    if not isinstance(offered, list | tuple):
        return ()
    return tuple(option for option in offered if isinstance(option, EngineOption))


def chosen_options(engine: Engine, chosen: Chosen) -> tuple[tuple[str, str], ...]:
    """What was chosen for one engine, by name.

    Raises
    ------
    UsageError
        When the engine has no such setting, or not with that value.
    """
    offered = {option.name: option for option in options_of(engine)}
    mine = [(name, value) for owner, name, value in chosen if owner == engine.name]
    for name, value in mine:
        if name not in offered:
            known = ", ".join(offered) or "none"
            raise UsageError(
                f"--engine-option {engine.name}.{name[:40]}: the engine has no such setting",
                hint=f"Settings of {engine.name}: {known}.",
            )
        _check(engine.name, offered[name], value)
    return tuple(dict(mine).items())


def refuse_strays(engines: Sequence[Engine], chosen: Chosen) -> None:
    """Refuse settings of engines that are not asked. Raises UsageError."""
    asked = [engine.name for engine in engines]
    for owner, name, value in chosen:
        if owner not in asked:
            raise UsageError(
                f"--engine-option {owner[:40]}.{name[:40]}={value[:40]}: the engine {owner[:40]!r} "
                f"is not asked here, only {', '.join(asked)}",
                hint=f"Add --engine {owner[:40]}, or leave the setting out.",
            )


def _check(engine: str, option: EngineOption, value: str) -> None:
    if option.choices:
        if value not in option.choices:
            raise UsageError(
                f"--engine-option {engine}.{option.name} is {value[:40]!r}; it may be "
                f"{' or '.join(option.choices)}",
                hint=f"{option.summary[:1].upper()}{option.summary[1:]}; {option.default} without.",
            )
        return
    try:
        fits = 0 < float(value) <= 1
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            f"--engine-option {engine}.{option.name} is {value[:40]!r}; it must be a decimal above "
            f"0 and at most 1; {option.default} without it"
        )
