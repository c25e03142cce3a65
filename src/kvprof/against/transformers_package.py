"""The installed transformers: offline, silent, and what its code raises as one kind of error."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from kvprof.errors import ConfigError, DeviceError, UnavailableError

_MOST_LETTERS = 300


def libraries() -> tuple[Any, Any]:
    """Torch and transformers.

    Raises
    ------
    DeviceError
        When one of them is not installed.
    """
    # Read when the libraries are imported: nothing may be fetched.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        with _quiet():
            import torch  # noqa: PLC0415
            import transformers  # noqa: PLC0415
    except ImportError as error:
        raise DeviceError(
            f"checking against transformers needs transformers and torch: {error}",
            hint="pip install 'kvprof[transformers]'",
        ) from error
    return torch, transformers


@contextlib.contextmanager
def explained(document: Mapping[str, Any], transformers: Any, doing: str) -> Iterator[None]:
    """Run the library's code silently; what it raises of a config is said as an error of ours.

    Raises
    ------
    ConfigError
        With what the library said, after "cannot" and ``doing``; or with the value that it lacks.
    UnavailableError
        When it needs another package.
    """
    library = f"transformers {transformers.__version__}"
    try:
        with _quiet():
            yield
    except ConfigError:
        raise
    except ImportError as error:
        raise UnavailableError(
            f"{library} needs another package to {doing}: {_brief(error)}",
            hint="Install it beside transformers.",
        ) from error
    except Exception as error:  # whatever a model's code does of a config that it was not for
        field = _field_with(document, error.args[0]) if isinstance(error, KeyError) else None
        if field is not None:
            raise ConfigError(
                f"{library} knows no {field} {error.args[0]!r}",
                hint="The code that comes with this model may know it; it is never run.",
            ) from error
        raise ConfigError(
            f"{library} cannot {doing}: {type(error).__name__}: {_brief(error)}",
            hint="Its fields may contradict each other, or kvprof shrank it wrongly.",
        ) from error


def _field_with(section: Mapping[str, Any], value: object) -> str | None:
    """The first field with a text, such as an activation that a table of the library lacks."""
    for name, held in section.items():
        if isinstance(held, str) and held == value:
            return name
        if isinstance(held, Mapping) and (inner := _field_with(held, value)):
            return inner
    return None


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:_MOST_LETTERS]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on stdout, which carries the result, and no warnings of others on stderr."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        if "transformers" in sys.modules:
            logging = sys.modules["transformers"].logging
            before = logging.get_verbosity()
            logging.set_verbosity_error()
        try:
            yield
        finally:
            if "transformers" in sys.modules and "before" in locals():
                logging.set_verbosity(before)
