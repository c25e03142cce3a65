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
    help="A Hugging Face config.json, or its folder, to check the layout of.",
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
    from kvprof.config_file import read_document  # noqa: PLC0415

    document, name, source = read_document(config)
    results = agreement(document, name=name, source=source)
    reasons = disagreements(results)
    what = f"the layout of {name} and what transformers keeps differ (in a model made small):"
    return results, [what, *reasons] if reasons else []
