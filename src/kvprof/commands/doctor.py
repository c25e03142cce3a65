"""`kvprof doctor`: what this installation and this machine can do."""

from __future__ import annotations

from typing import Any

import click

from kvprof.commands.options import output_options


@click.command("doctor")
@output_options
@click.pass_obj
def command(session: Any, /, **options: Any) -> None:
    """Say what this installation and this machine can do, and what is missing."""
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.doctor import doctor_rows  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    destination = Destination(options["output"], force=options["force"])
    emit("doctor", doctor_rows(), destination, options["format_"], session)
