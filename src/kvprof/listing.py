"""What there is: rows for the architectures, engines, devices and models that kvprof knows."""

from __future__ import annotations

import contextlib

from kvprof.accounting import (
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
from kvprof.model import Model, lay_out, reference_model
from kvprof.registry import registry
from kvprof.result import ArchitectureRow, CatalogueRow, DeviceRow, EngineRow

_BFLOAT16 = Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16")


def architecture_rows() -> list[ArchitectureRow]:
    """Every architecture with what its reference keeps, in the order of the field's history."""
    rows = []
    for name, offered in registry().architectures.items():
        what = offered.what
        kib: float | None = None
        mib: float | None = None
        with contextlib.suppress(KvprofError):  # `kvprof check` says why it has no sizes
            kib, _, _, mib = _sizes(reference_model(name))
        rows.append(
            ArchitectureRow(name, what.summary, what.reference, kib, mib, str(offered.origin))
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
    note = model.note
    try:
        laid_out = lay_out(model.model_config())
        architecture = laid_out.architecture
        sizes = _sizes(laid_out)
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
        max_context=model.max_context,
        source=model.source,
        confidence=model.confidence,
        note=note,
    )


def _sizes(model: Model) -> tuple[float, float, float, float]:
    """KiB per token and those that grow, MiB of windows and of state per sequence, in bfloat16."""
    groups = cache_groups(bind(model.layout, _BFLOAT16))
    return (
        float(per_token(groups) / 1024),
        float(growing_per_token(groups) / 1024),
        window_bytes(groups) / 2**20,
        fixed_bytes(groups) / 2**20,
    )
