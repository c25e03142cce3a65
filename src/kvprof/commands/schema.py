"""`kvprof schema`: the JSON Schema of every document."""

from __future__ import annotations

from pathlib import Path

import click

from kvprof.commands.options import traceback_option


@click.command("schema")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where it is written; - is stdout  [default: -]",
)
@click.option("--force", is_flag=True, help="Overwrite an existing FILE.")
@traceback_option
def command(output: Path | None, force: bool) -> None:
    """Print the JSON Schema (2020-12) of every document that kvprof writes."""
    import json  # noqa: PLC0415

    from kvprof.document import json_schema  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    Destination(output, force=force).write(json.dumps(json_schema(), indent=2) + "\n")
