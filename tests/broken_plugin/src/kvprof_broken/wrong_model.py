"""Offers a catalogue row whose fields are of the wrong types."""

from kvprof.catalogue import CatalogueModel
from kvprof.hookspecs import hookimpl


@hookimpl
def kvprof_models() -> list[CatalogueModel]:
    """Offer a model of the year 2026, as a number."""
    return [
        CatalogueModel(
            name="broken-model",
            title="Broken",
            date=2026,  # type: ignore[arg-type]
            attention="none",
            config={"model_type": "broken"},
            source="nowhere",
            confidence="C",
        )
    ]
