"""`kvprof replay`: request traces through engines' allocation policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kvprof.commands.options import (
    chosen_engines,
    chosen_models,
    engine_settings,
    memory_options,
    model_options,
    output_options,
    stack,
)
from kvprof.commands.side_by_side import cases_of, side_by_side
from kvprof.commands.tracing import pace_of, pace_options, source_options, trace_options
from kvprof.commands.values import COUNT, NAMES, TOKEN_COUNT

if TYPE_CHECKING:
    from kvprof.replay.run import Replayed
    from kvprof.replay_result import ReplayResult

SERIES_SUFFIXES = (".csv", ".parquet")


def _case_options(command: Any) -> Any:
    return stack(
        command,
        click.option(
            "--engine",
            type=NAMES,
            multiple=True,
            help="Engines to replay it through, side by side  [default: paged]",
        ),
        click.option(
            "--encoder-tokens",
            type=TOKEN_COUNT,
            default=0,
            help="Encoder positions that each sequence keeps.",
        ),
        click.option(
            "--max-model-len",
            type=COUNT,
            metavar="TOKENS",
            help="Longest sequence; longer requests are rejected  [default: the trace's longest]",
        ),
        engine_settings,
    )


STEPPING = click.option(
    "--stepping",
    type=click.Choice(("blocks", "tokens")),
    default="blocks",
    show_default=True,
    help="Jump from block boundary to block boundary, or go token by token: same results.",
)

BANDWIDTH = click.option(
    "--bandwidth",
    metavar="RATE|PROFILE",
    help="Decode as fast as memory lets it instead: a step takes the time of --weights and of what "
    "its sequences read and write, at so many bytes a second (3.35TB/s) or as a JSON document of "
    "`kvprof profile` measured it.",
)


@click.command("replay")
@model_options
@source_options
@trace_options
@_case_options
@memory_options
@pace_options
@BANDWIDTH
@STEPPING
@click.option(
    "--series",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the time series there: .csv or .parquet.",
)
@output_options
@click.pass_obj
def command(session: Any, /, **options: Any) -> None:
    """Run a request trace through engines' allocators: where the bytes went, by name.

    \b
    kvprof replay --model llama-3-8b --trace conversation.jsonl --memory 40GiB
    kvprof replay --arch mla --trace sessions/ --memory 40GiB --engine vllm,sglang,orca-max
    kvprof replay --arch gqa --synthetic turns=4,prompt-tokens=2k --memory 8GiB --prefix-cache on
    kvprof replay --arch gqa --trace trace.jsonl --memory 8GiB --block-size 16,64 -o series.parquet
    """  # noqa: D301 - \b is for click
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    series, output = _destinations(options)
    destination = Destination(output, force=options["force"])
    series_destination = series and Destination(series, force=options["force"])
    replayed = _replayed(options)
    results: list[ReplayResult] = [each.result for each in replayed]
    if series is not None and series_destination:
        from msgspec.structs import replace  # noqa: PLC0415

        from kvprof.replay.series_file import write_series  # noqa: PLC0415

        write_series(series, replayed, series_destination)
        results = [replace(result, series_file=str(series)) for result in results]
    told = [f"{result.engine}: {warning}" for result in results for warning in result.warnings]
    for text in dict.fromkeys(told):
        click.echo(f"kvprof: warning: {text}", err=True)
    emit("replay", results, destination, options["format_"], session)


def _destinations(options: dict[str, Any]) -> tuple[Path | None, Path | None]:
    """Where the series goes and where the document goes.

    ``-o`` names the series when its name is that of one; a document as CSV is asked for by
    ``--format``.
    """
    from kvprof.errors import UsageError  # noqa: PLC0415

    series, output = options["series"], options["output"]
    if series is not None:
        if series.suffix not in SERIES_SUFFIXES:
            raise UsageError(
                f"--series {series}: a time series is written as .csv or .parquet",
                hint="Give a file name that ends in one of them.",
            )
        return series, output
    if output is None or output.suffix not in SERIES_SUFFIXES:
        return None, output
    if output.suffix == ".csv" and options["format_"] == "csv":
        return None, output
    return output, None


def _replayed(options: dict[str, Any]) -> list[Replayed]:
    from kvprof.commands.progress import progress_display  # noqa: PLC0415
    from kvprof.commands.workloads import open_source  # noqa: PLC0415
    from kvprof.replay.run import longest_request  # noqa: PLC0415

    pace = pace_of(options, jumps=options["stepping"] == "blocks")
    _check_source(options)
    _check_memory(options)
    models = chosen_models(options["arch"], options["model"], options["config"])
    engines = chosen_engines(options)
    with progress_display() as show, open_source(options, show) as source:
        longest = options["max_model_len"] or longest_request(source.workload)
        cases = cases_of(models, engines, options, longest)
        return side_by_side(cases, source, pace, options, show)


def _check_source(options: dict[str, Any]) -> None:
    from kvprof.commands.workloads import check_source  # noqa: PLC0415
    from kvprof.errors import UsageError  # noqa: PLC0415

    if check_source(options) is None:
        raise UsageError(
            "a replay is of requests, and no source of them is given",
            hint="Give --trace PATH, or --synthetic requests=10000,turns=4.",
        )


def _check_memory(options: dict[str, Any]) -> None:
    from kvprof.errors import UsageError  # noqa: PLC0415
    from kvprof.replay.run import no_memory  # noqa: PLC0415

    if options["weights"] is not None and not (options["device_memory"] or options["bandwidth"]):
        raise UsageError(
            "--weights is taken off --device-memory, and read at --bandwidth; neither is given",
            hint="Give one of them too, or --memory alone: what the cache may use.",
        )
    rate = click.get_current_context().get_parameter_source("decode_tokens_per_s")
    if options["bandwidth"] is not None and rate is not ParameterSource.DEFAULT:
        raise UsageError(
            "--decode-tokens-per-s and --bandwidth are two clocks of decoding; give one of them"
        )
    if options["memory"] is None and options["device_memory"] is None:
        raise no_memory()
