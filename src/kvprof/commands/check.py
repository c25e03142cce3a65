"""`kvprof check`: architectures by the conformance kit, a config by a real run; a gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from kvprof.commands.options import output_options
from kvprof.errors import GateError, UsageError


@click.command("check")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--config",
    type=click.Path(),
    metavar="PATH",
    help="A config.json, its folder, - for stdin, or a Hugging Face id, to check the layout of.",
)
@click.option(
    "--against",
    type=click.Choice(["transformers"]),
    help="Run a small model of --config, and compare what it keeps layer by layer.",
)
@output_options
@click.pass_obj
def command(
    session: Any, /, names: tuple[str, ...], config: str | None, against: str | None, **options: Any
) -> None:
    """Check that architectures conform, or that a config is read rightly; exit 1 when not so.

    \b
    kvprof check mla
    kvprof check --config path/to/config.json --against transformers
    """  # noqa: D301 - \b is for click
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415

    _refuse_unclear(names, config, against)
    destination = Destination(options["output"], force=options["force"])
    results, reasons = _conformance(names) if config is None else _agreement(config)
    emit("check", results, destination, options["format_"], session)
    if reasons:
        raise GateError("\n- ".join(reasons))


def _refuse_unclear(names: Sequence[str], config: str | None, against: str | None) -> None:
    """Architectures by name or one config; a config is checked against something."""
    if bool(names) == bool(config):
        raise UsageError(
            "both NAME and --config are given" if names else "neither NAME nor --config is given",
            hint="`kvprof check mla` checks an architecture, `kvprof check --config PATH "
            "--against transformers` the layout of a config; `kvprof check --help` says more.",
        )
    if bool(config) != bool(against):
        raise UsageError(
            "--config and --against belong together, and one of them is missing",
            hint="Try kvprof check --config PATH --against transformers.",
        )


def _conformance(names: Sequence[str]) -> tuple[list[Any], list[str]]:
    from kvprof.check_result import CheckResult  # noqa: PLC0415
    from kvprof.registry import registry  # noqa: PLC0415
    from kvprof.testing import conformance  # noqa: PLC0415

    results = []
    for name in names:
        offered = registry().architecture(name)
        problems, _ = conformance(offered.what)
        results.append(CheckResult(name, str(offered.origin), not problems, tuple(problems)))
    failed = [result for result in results if not result.conforms]
    reasons = [f"{result.architecture}: {p}" for result in failed for p in result.problems]
    return results, [f"{len(failed)} of {len(results)} do not conform:", *reasons] if failed else []


def _agreement(config: str) -> tuple[list[Any], list[str]]:
    from kvprof.against.agreement import agreement, disagreements  # noqa: PLC0415
    from kvprof.inputs import config_named  # noqa: PLC0415

    read = config_named(config)
    if not read.outer:
        raise UsageError(
            f"{read.source} has no config.json that transformers could make a model of",
            hint="Give the config.json of the model that the GGUF file was made of.",
        )
    results = agreement(read.outer, name=read.name, source=read.source)
    reasons = disagreements(results)
    library = f"transformers {results[0].versions['transformers']}"
    what = f"the layout of {read.name} and what {library} keeps differ (in a model made small):"
    return results, [what, *reasons] if reasons else []
