"""The catalogue: published models as data, each with its config fields and their source."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from kvprof.config import ModelConfig
from kvprof.config_file import parse_config


class CatalogueModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model.

    Attributes
    ----------
    name, aliases
        What ``--model`` takes.
    title, organisation, date
        Its full name, who made it, and the year and month of its release.
    attention
        How its attention is described, for people.
    config
        The fields of its config.json that decide what it keeps.
    source, confidence
        Where those come from; A read in a config or code, B partly inferred, C recalled.
    parameters
        Its parameter count, for ``--weights auto``.
    published_kib_per_token
        The figure that the public architecture gallery gives, where there is one.
    """

    name: str
    title: str
    date: str
    attention: str
    config: dict[str, Any]
    source: str
    confidence: str
    organisation: str = ""
    aliases: tuple[str, ...] = ()
    parameters: int | None = None
    max_context: int | None = None
    published_kib_per_token: float | None = None
    note: str | None = None

    def model_config(self) -> ModelConfig:
        """Its config, read as any other's."""
        return parse_config(self.config, name=self.name, source=f"catalogue:{self.name}")


@lru_cache(maxsize=1)
def read_catalogue() -> tuple[CatalogueModel, ...]:
    """The built-in models, in the order of the field's history."""
    data = Path(__file__).with_name("models.json").read_bytes()
    return msgspec.json.decode(data, type=tuple[CatalogueModel, ...])
