"""A document in, CSV out: one row per result, or per stream of a profile."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from kvprof.document import Document, results_of

_LISTS_OF_PROFILE = "streams"
_OF_EACH_ITS_OWN = "config"
"""An object whose fields differ between rows: each would be a column that is nearly empty."""


def document_csv(document: Document) -> str:
    """Nested names are joined by dots; lists other than a profile's streams are left to JSON.

    So are the configs of the catalogue.
    """
    rows = [row for result in results_of(document) for row in _rows(result)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _rows(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    own = dict(_flat(result))
    streams = result.get(_LISTS_OF_PROFILE)
    if not streams:
        yield own
        return
    for stream in streams:
        yield own | {f"stream.{name}": value for name, value in _flat(stream)}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if name == _OF_EACH_ITS_OWN and isinstance(inner, Mapping):
            continue
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{name}.")
        elif not isinstance(inner, list | tuple):
            yield prefix + name, inner
