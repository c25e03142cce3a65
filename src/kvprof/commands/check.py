"""`kvprof check`: the conformance kit over installed architectures; a gate."""

from __future__ import annotations

from typing import Any

import click

from kvprof.commands.options import output_options
from kvprof.errors import GateError


@click.command("check")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@output_options
@click.pass_obj
def command(session: Any, /, names: tuple[str, ...], **options: Any) -> None:
    """Check that architectures conform; exit 1, with the reasons, when one does not.

    \b
    kvprof check mla
    """  # noqa: D301 - \b is for click
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415
    from kvprof.registry import registry  # noqa: PLC0415
    from kvprof.result import CheckResult  # noqa: PLC0415
    from kvprof.testing import conformance  # noqa: PLC0415

    destination = Destination(options["output"], force=options["force"])
    results = []
    for name in names:
        offered = registry().architecture(name)
        problems, _ = conformance(offered.what)
        results.append(CheckResult(name, str(offered.origin), not problems, tuple(problems)))
    emit("check", results, destination, options["format_"], session)
    if failed := [result for result in results if not result.conforms]:
        reasons = [f"{result.architecture}: {p}" for result in failed for p in result.problems]
        raise GateError("\n- ".join([f"{len(failed)} of {len(results)} do not conform:", *reasons]))
