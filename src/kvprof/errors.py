"""What can go wrong, each with the exit code that the command line gives it."""

from __future__ import annotations


class KvprofError(Exception):
    """An error that kvprof explains to its user.

    Parameters
    ----------
    what
        What happened, with the offending value and what is allowed.
    hint
        The next thing to try.
    """

    exit_code = 5

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__(what)
        self.hint = hint

    def __str__(self) -> str:
        what = super().__str__()
        return what if self.hint is None else f"{what}\n{self.hint}"


class GateError(KvprofError):
    """A check that was asked for did not pass."""

    exit_code = 1


class UsageError(KvprofError):
    """An option or an argument that cannot be used."""

    exit_code = 2


class ConfigError(UsageError):
    """A model config that cannot be read or does not say enough."""


class TraceError(UsageError):
    """A request trace that cannot be read, or does not say what a trace must."""


class UnavailableError(KvprofError):
    """What is needed is not here: an optional package, the network, access to a model."""

    exit_code = 3


class DeviceError(KvprofError):
    """The machine cannot do what was asked: no such device, not enough memory."""

    exit_code = 3


class DoesNotFitError(DeviceError):
    """The pool cannot hold the sequences that were asked for."""


class PluginWarning(UserWarning):
    """A plugin is broken and was skipped, or two offer the same."""


class PluginError(KvprofError):
    """A plugin is broken, or describes a layout that cannot be."""

    exit_code = 4
