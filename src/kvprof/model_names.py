"""What a log calls its model and the model that was chosen in, whether they plainly differ out."""

from __future__ import annotations

import re

from kvprof.model import Model

_WORDS = re.compile(r"[a-z]{2,}")
_SIZES = re.compile(r"(?<![a-z0-9.])\d+(?:\.\d+)?[bm](?![a-z0-9])")
_OF_ANY_MODEL = frozenset({"base", "chat", "config", "hf", "instruct", "it", "model", "models"})


def plainly_differ(logged: str, model: Model) -> bool:
    """Whether two names share no word, or are of two sizes (8b, 70b).

    A model's type counts as a name of it: files may be called anything.
    """
    other = logged.lower()
    chosen = model.config.name.lower()
    sizes = set(_SIZES.findall(other.rsplit("/", 1)[-1])), set(_SIZES.findall(chosen))
    if all(sizes) and not sizes[0] & sizes[1]:
        return True
    known = _words(chosen) | _words((model.config.model_type or "").lower())
    return bool(_words(other)) and not _words(other) & known


def _words(text: str) -> set[str]:
    return set(_WORDS.findall(text)) - _OF_ANY_MODEL
