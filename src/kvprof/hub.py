"""A Hugging Face id in, one file of its repository out: from the local cache, or from the network.

Only named JSON files are fetched, and only when they are small; never code, never weights.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from kvprof.config_file import MAX_CONFIG_BYTES
from kvprof.errors import KvprofError, UnavailableError, UsageError

PREFIX = "hub:"
"""What the source of a config from there begins with."""

_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}(@[\w./-]{1,128})?", re.ASCII)
_TIMEOUT_SECONDS = 10


def is_hub_id(text: str) -> bool:
    """Whether a text has the form ``organisation/name`` or ``organisation/name@revision``."""
    return _ID.fullmatch(text) is not None and not text.startswith(".")


def hub_file(model_id: str, name: str, *, most_bytes: int = MAX_CONFIG_BYTES) -> Path | None:
    """A file of a model's repository; None when the repository has none of that name.

    Raises
    ------
    UsageError
        When there is no such model or revision, or the file is larger than ``most_bytes``.
    UnavailableError
        When ``huggingface_hub`` is not installed, the network cannot be reached and the file is
        not in the cache, or the model is gated.
    """
    hub = _package()
    from huggingface_hub import errors  # noqa: PLC0415

    try:
        return _fetched(hub, model_id, name, most_bytes)
    except KvprofError:
        raise
    except errors.GatedRepoError:
        raise UnavailableError(
            f"the model {model_id!r} is gated: it is given to those who have accepted its terms",
            hint="Accept them on its page, then log in with `hf auth login` or set HF_TOKEN.",
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError):
        raise UsageError(
            f"the Hugging Face Hub has no model {model_id!r}, or does not show it to you",
            hint="Is it spelled as on its page? For a private one log in with `hf auth login`.",
        ) from None
    except errors.RemoteEntryNotFoundError:
        return None
    except Exception as error:  # the package raises what its HTTP client and the system raise
        return _cached(hub, model_id, name) or _unreachable(model_id, name, error)


def _fetched(hub: ModuleType, model_id: str, name: str, most_bytes: int) -> Path:
    """Ask once how large it is, since asking through a download tries for half a minute."""
    repository, _, revision = model_id.partition("@")
    where = {"repo_id": repository, "filename": name, "revision": revision or None}
    about = hub.get_hf_file_metadata(hub.hf_hub_url(**where), timeout=_TIMEOUT_SECONDS)
    if about.size is None or about.size > most_bytes:
        raise UsageError(
            f"{name} of {model_id!r} has {about.size} bytes; at most {most_bytes} are fetched"
        )
    return Path(hub.hf_hub_download(**where, etag_timeout=_TIMEOUT_SECONDS))


def _cached(hub: ModuleType, model_id: str, name: str) -> Path | None:
    repository, _, revision = model_id.partition("@")
    found = hub.try_to_load_from_cache(repository, name, revision=revision or None)
    return Path(found) if isinstance(found, str) else None


def _unreachable(model_id: str, name: str, error: Exception) -> NoReturn:
    from huggingface_hub import constants  # noqa: PLC0415

    if constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set and it is not in the local cache"
    else:
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = f"answers with the status {status}" if status else "cannot be reached"
        why = f"{constants.ENDPOINT} {said} ({type(error).__name__})"
    raise UnavailableError(
        f"cannot get {name} of {model_id!r}: {why}",
        hint="Give the model's own config.json with --config, or a name of `kvprof list models`.",
    ) from None


def _package() -> ModuleType:
    try:
        import huggingface_hub  # noqa: PLC0415
    except ImportError:
        raise UnavailableError(
            "models of the Hugging Face Hub are fetched with the package huggingface_hub, which "
            "is not installed",
            hint="pip install 'kvprof[hub]'",
        ) from None
    return huggingface_hub
