"""Options of every verb that reads a request trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvprof.commands.options import Command, stack
from kvprof.commands.values import One
from kvprof.errors import UsageError

if TYPE_CHECKING:
    from kvprof.replay.run import Pace
    from kvprof.workload.trace import Trace

MOST = 1e9


def parse_positive(text: str) -> float:
    """A number above 0: seconds, or requests per second."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value <= MOST:
        raise UsageError(f"{text[:40]!r} is no usable number; it must be above 0 and at most 1e9")
    return value


POSITIVE = One(parse_positive, "number")


DECODE_RATE = click.option(
    "--decode-tokens-per-s",
    type=POSITIVE,
    default=50.0,
    show_default=True,
    metavar="RATE",
    help="Tokens that each running sequence of a trace makes in a second.",
)


def pace_options(command: Command) -> Command:
    """The clock of a replay, and what it does with prompts and when memory runs out."""
    return stack(
        command,
        DECODE_RATE,
        click.option(
            "--prefill-tokens-per-s",
            type=POSITIVE,
            metavar="RATE",
            help="Tokens of a prompt computed in a second  [default: at once]",
        ),
        click.option(
            "--preemption",
            type=click.Choice(("recompute", "swap")),
            default="recompute",
            show_default=True,
            help="What becomes of a sequence that makes room for others.",
        ),
        click.option(
            "--prefix-cache",
            type=click.Choice(("on", "off")),
            default="off",
            show_default=True,
            help="Keep blocks of prompts, and find them again by the trace's hashes.",
        ),
    )


def pace_of(options: dict[str, Any], *, jumps: bool = True) -> Pace:
    """What `pace_options` say."""
    from kvprof.replay.run import Pace  # noqa: PLC0415

    return Pace(
        decode_tokens_per_s=options["decode_tokens_per_s"],
        prefill_tokens_per_s=options["prefill_tokens_per_s"],
        preemption=options["preemption"],
        prefix_cache=options["prefix_cache"] == "on",
        jumps=jumps,
    )


def opened_trace(options: dict[str, Any]) -> Trace:
    """The trace that ``--trace`` and `reading_options` name; close it."""
    from kvprof.workload.trace import open_trace  # noqa: PLC0415

    return open_trace(
        options["trace"],
        format=options["trace_format"],
        rate=options["rate"],
        duration_s=options["duration"],
        skip_bad_rows=options["skip_bad_rows"],
        seed=options["seed"],
    )


SEED = click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**64 - 1),
    default=0,
    show_default=True,
    help="Of arrivals that a trace lacks, and of generated requests.",
)


def traces_option(*, required: bool) -> Callable[[Command], Command]:
    """``--trace``."""
    return click.option(
        "--trace",
        type=click.Path(path_type=Path),
        multiple=True,
        required=required,
        metavar="PATH",
        help="A request trace: a file or a folder; several are one trace (repeatable).",
    )


def trace_options(command: Command) -> Command:
    """`reading_options` and ``--seed``."""
    return reading_options(SEED(command))


def reading_options(command: Command) -> Command:
    """``--trace-format``, ``--rate``, ``--duration``, ``--skip-bad-rows``."""
    return stack(
        command,
        click.option(
            "--trace-format",
            metavar="NAME",
            help="The trace's format  [default: what its contents show]",
        ),
        click.option(
            "--rate",
            type=POSITIVE,
            metavar="PER-SECOND",
            help="Stretch a trace to so many requests per second; 1 where it has no times.",
        ),
        click.option(
            "--duration",
            type=POSITIVE,
            metavar="SECONDS",
            help="Leave out what arrives later; generators make an hour.",
        ),
        click.option(
            "--skip-bad-rows",
            is_flag=True,
            help="Leave out rows that cannot be read, and report how many.",
        ),
    )
