"""What there is: rows for the architectures, engines, devices and models that kvprof knows."""

from __future__ import annotations

import contextlib

from kvprof.accounting import (
    CacheGroup,
    cache_groups,
    fixed_bytes,
    growing_per_token,
    per_token,
    window_bytes,
)
from kvprof.binding import Dtypes, bind
from kvprof.catalogue import CatalogueModel
from kvprof.engine_options import options_of
from kvprof.errors import KvprofError
from kvprof.layers import INDEXER
from kvprof.listing_result import ArchitectureRow, CatalogueRow, DeviceRow, EngineRow
from kvprof.model import Model, lay_out, reference_model
from kvprof.registry import registry

_BFLOAT16 = Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16")
_HALF_OF_THE_LAST_DIGIT = 0.05 + 1e-9


def architecture_rows() -> list[ArchitectureRow]:
    """Every architecture with what its reference keeps, in the order of the field's history."""
    rows = []
    for name, offered in registry().architectures.items():
        what = offered.what
        sizes: tuple[float | None, ...] = (None, None, None, None)
        with contextlib.suppress(KvprofError):  # `kvprof check` says why it has no sizes
            sizes = _sizes(reference_model(name))
        rows.append(
            ArchitectureRow(
                name=name,
                summary=what.summary,
                reference=what.reference,
                kib_per_token=sizes[0],
                growing_kib_per_token=sizes[1],
                fixed_mib_per_sequence=sizes[3],
                plugin=str(offered.origin),
            )
        )
    return rows


def engine_rows() -> list[EngineRow]:
    """Every engine."""
    return [
        EngineRow(
            name,
            offered.what.summary,
            str(offered.origin),
            tuple(f"{each.name}={each.default}" for each in options_of(offered.what)),
        )
        for name, offered in registry().engines.items()
    ]


def model_rows() -> list[CatalogueRow]:
    """Every model of the catalogue, in the order of the field's history."""
    models = {model.name: model for model in registry().models.values()}
    return [_row(model) for model in sorted(models.values(), key=lambda model: model.date)]


def listed_devices() -> list[DeviceRow]:
    """Every device, and every backend that has none."""
    from kvprof.device import device_rows  # noqa: PLC0415 - no other listing needs a backend

    return device_rows()


def _row(model: CatalogueModel) -> CatalogueRow:
    architecture: str | None = None
    sizes: tuple[float | None, ...] = (None, None, None, None)
    comparable: float | None = None
    note = model.note
    try:
        laid_out = lay_out(model.model_config())
        architecture = laid_out.architecture
        sizes = _sizes(laid_out)
        comparable = _comparable_kib(laid_out)
    except KvprofError as error:
        note = f"not read: {error}"
    return CatalogueRow(
        name=model.name,
        title=model.title,
        organisation=model.organisation,
        date=model.date,
        attention=model.attention,
        architecture=architecture,
        kib_per_token=sizes[0],
        growing_kib_per_token=sizes[1],
        window_mib_per_sequence=sizes[2],
        fixed_mib_per_sequence=sizes[3],
        published_kib_per_token=model.published_kib_per_token,
        comparable_kib_per_token=comparable,
        published_agrees=_agrees(model.published_kib_per_token, comparable),
        max_context=model.max_context,
        source=model.source,
        confidence=model.confidence,
        note=note,
        config=model.config,
    )


def _sizes(model: Model) -> tuple[float, float, float, float]:
    """KiB per token and those that grow, MiB of windows and of state per sequence, in bfloat16."""
    groups = _groups(model)
    return (
        float(per_token(groups) / 1024),
        float(growing_per_token(groups) / 1024),
        window_bytes(groups) / 2**20,
        fixed_bytes(groups) / 2**20,
    )


def _comparable_kib(model: Model) -> float:
    """KiB per token as the public gallery counts: what attention reads of all that is kept.

    Without indexers; where several tokens become one entry, those entries alone.
    """
    groups = [group for group in _groups(model) if group.cache.key != INDEXER]
    if any(group.cache.entry_tokens > 1 for group in groups):
        return float(growing_per_token(groups) / 1024)
    return float(per_token(groups) / 1024)


def _agrees(published: float | None, comparable: float | None) -> bool | None:
    """Whether a published figure, of one decimal, is what is kept; None without both."""
    if published is None or comparable is None:
        return None
    return abs(published - comparable) <= _HALF_OF_THE_LAST_DIGIT


def _groups(model: Model) -> tuple[CacheGroup, ...]:
    return cache_groups(bind(model.layout, _BFLOAT16))
