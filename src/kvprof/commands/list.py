"""`kvprof list`: architectures, engines, devices, models, traces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kvprof.commands.options import output_options
from kvprof.commands.tracing import trace_options
from kvprof.errors import UsageError

KINDS = ("architectures", "engines", "devices", "models", "traces")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option(
    "--sort",
    type=click.Choice(("year", "kib", "date")),
    default="year",
    show_default=True,
    help="Order of the models: by date (year, date), or by KiB per token, largest first.",
)
@trace_options
@output_options
@click.pass_obj
def command(session: Any, /, kind: str, paths: tuple[Path, ...], sort: str, **options: Any) -> None:
    """List architectures, engines, devices or models; or say what request traces are.

    \b
    kvprof list models --sort kib
    kvprof list architectures --format json
    kvprof list traces conversation.jsonl sessions/

    Each PATH is one trace: a file, or a folder of files.
    """  # noqa: D301 - \b is for click
    from kvprof import listing  # noqa: PLC0415
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    destination = Destination(options["output"], force=options["force"])
    _check_paths(kind, paths)
    rows: list[Any]
    if kind == "traces":
        rows = _trace_rows(paths, options)
    elif kind == "models":
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


def _check_paths(kind: str, paths: Sequence[Path]) -> None:
    if paths and kind != "traces":
        raise UsageError(
            f"list {kind} takes no PATH, but {str(paths[0])!r} was given",
            hint="Leave it out; `kvprof list --help` says more.",
        )
    if kind == "traces" and not paths:
        raise UsageError(
            "no trace is given", hint="Give files or folders: kvprof list traces PATH..."
        )


def _trace_rows(paths: Sequence[Path], options: dict[str, Any]) -> list[Any]:
    from kvprof.commands.progress import progress_display  # noqa: PLC0415
    from kvprof.commands.workloads import open_paths  # noqa: PLC0415
    from kvprof.workload.summary import summarise  # noqa: PLC0415

    rows = []
    with progress_display() as show:
        for path in paths:
            with open_paths([path], options, show) as trace:
                rows.append(summarise(trace))
    return rows
