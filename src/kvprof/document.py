"""Results in, one JSON document out; and the JSON Schema that every document keeps to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import UnionType
from typing import Any, get_args

import msgspec
from msgspec import Struct

from kvprof import __version__
from kvprof.answer import SolveResult
from kvprof.check_result import AgreementResult, CheckResult
from kvprof.listing_result import ArchitectureRow, CatalogueRow, DeviceRow, DoctorRow, EngineRow
from kvprof.profile_result import ProfileResult
from kvprof.replay_result import ReplayResult
from kvprof.result import SizeResult
from kvprof.trace_row import TraceRow

SCHEMA_VERSION = "1.0"

RESULT_KINDS: dict[str, type[Struct] | UnionType] = {
    "size": SizeResult,
    "profile": ProfileResult,
    "replay": ReplayResult,
    "solve": SolveResult,
    "models": CatalogueRow,
    "architectures": ArchitectureRow,
    "engines": EngineRow,
    "devices": DeviceRow,
    "traces": TraceRow,
    "check": CheckResult | AgreementResult,
    "doctor": DoctorRow,
}
"""The kinds of document, and what one of its results is."""


def result_types(kind: str) -> tuple[type[Struct], ...]:
    """What a result of a document of that kind may be."""
    types = RESULT_KINDS[kind]
    return get_args(types) or (types,)


class Document(Struct, frozen=True):
    """Results of one kind, and the command that asked for them."""

    kind: str
    results: tuple[Struct, ...]
    argv: tuple[str, ...]


def document_json(document: Document, environment: dict[str, Any]) -> str:
    """A document in its envelope as JSON text, newline at the end."""
    envelope = {
        "schema_version": SCHEMA_VERSION,
        "kind": document.kind,
        "kvprof_version": __version__,
        "argv": list(document.argv),
        "environment": environment,
        "results": [msgspec.to_builtins(result) for result in document.results],
    }
    return json.dumps(envelope, indent=2, allow_nan=False) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every document, made from the types above."""
    types = [(kind, type_) for kind in RESULT_KINDS for type_ in result_types(kind)]
    schemas, components = msgspec.json.schema_components(
        [type_ for _, type_ in types], ref_template="#/$defs/{name}"
    )
    results: dict[str, list[dict[str, Any]]] = {}
    for (kind, _), schema in zip(types, schemas, strict=True):
        results.setdefault(kind, []).append(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"kvprof document, schema version {SCHEMA_VERSION}",
        "oneOf": [
            _envelope_schema(kind, shapes[0] if len(shapes) == 1 else {"anyOf": shapes})
            for kind, shapes in results.items()
        ],
        "$defs": components,
    }


def _envelope_schema(kind: str, result: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "schema_version": {"const": SCHEMA_VERSION},
        "kind": {"const": kind},
        "kvprof_version": {"type": "string"},
        "argv": {"type": "array", "items": {"type": "string"}},
        "environment": {"type": "object"},
        "results": {"type": "array", "items": result},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def results_of(document: Document) -> Sequence[dict[str, Any]]:
    """The results as plain data."""
    return [msgspec.to_builtins(result) for result in document.results]
