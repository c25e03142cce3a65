"""Rows of `kvprof list` and `kvprof doctor`: every field of them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class CatalogueRow(Struct, frozen=True):
    """One model of the catalogue, with what it keeps in bfloat16.

    ``comparable_kib_per_token`` counts as the published figure does, ``published_agrees`` says
    whether they are equal; ``note`` why not. ``config`` are the fields of the model's config that
    decide what it keeps.
    """

    name: str
    title: str
    organisation: str
    date: str
    attention: str
    architecture: str | None
    kib_per_token: float | None
    growing_kib_per_token: float | None
    window_mib_per_sequence: float | None
    fixed_mib_per_sequence: float | None
    published_kib_per_token: float | None
    comparable_kib_per_token: float | None
    published_agrees: bool | None
    max_context: int | None
    source: str
    confidence: str
    note: str | None
    config: dict[str, Any]


class ArchitectureRow(Struct, frozen=True):
    """One architecture and the plugin that describes it."""

    name: str
    summary: str
    reference: str
    kib_per_token: float | None
    growing_kib_per_token: float | None
    fixed_mib_per_sequence: float | None
    plugin: str


class EngineRow(Struct, frozen=True):
    """One engine and the plugin that describes it."""

    name: str
    summary: str
    plugin: str
    settings: tuple[str, ...] = ()


class DeviceRow(Struct, frozen=True):
    """One device, or why its backend has none."""

    name: str
    backend: str
    available: bool
    description: str
    memory_bytes: int | None


class DoctorRow(Struct, frozen=True):
    """One thing that kvprof needs or can use, and how it is here."""

    subject: str
    status: str
    detail: str
