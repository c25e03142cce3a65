"""`kvprof list`: architectures, engines, devices, models."""

from __future__ import annotations

from typing import Any

import click

from kvprof.commands.options import output_options

KINDS = ("architectures", "engines", "devices", "models")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS))
@click.option(
    "--sort",
    type=click.Choice(("year", "kib", "date")),
    default="year",
    show_default=True,
    help="Order of the models: by date (year, date), or by KiB per token, largest first.",
)
@output_options
@click.pass_obj
def command(session: Any, /, kind: str, sort: str, **options: Any) -> None:
    """List architectures, engines, devices or models.

    \b
    kvprof list models --sort kib
    kvprof list architectures --format json
    """  # noqa: D301 - \b is for click
    from kvprof import listing  # noqa: PLC0415
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    destination = Destination(options["output"], force=options["force"])
    rows: list[Any]
    if kind == "models":
        rows = list(listing.model_rows())
        if sort == "kib":
            rows.sort(key=lambda row: -(row.kib_per_token or 0))
    elif kind == "architectures":
        rows = list(listing.architecture_rows())
    elif kind == "engines":
        rows = list(listing.engine_rows())
    else:
        rows = list(listing.listed_devices())
    emit(kind, rows, destination, options["format_"], session)
