"""Options of every verb that reads a request trace."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvprof.commands.options import Command, stack
from kvprof.commands.values import One
from kvprof.errors import UsageError
from kvprof.workload.settings import parse_synthetic

if TYPE_CHECKING:
    from kvprof.replay.pace import Pace

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


def pace_options(command: Command) -> Command:
    """The clock of a replay, and what it does with prompts and when memory runs out."""
    return stack(
        command,
        click.option(
            "--decode-tokens-per-s",
            type=POSITIVE,
            default=50.0,
            show_default=True,
            metavar="RATE",
            help="Tokens that each running sequence of a trace makes in a second.",
        ),
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
    from kvprof.replay.pace import Pace  # noqa: PLC0415

    return Pace(
        decode_tokens_per_s=options["decode_tokens_per_s"],
        prefill_tokens_per_s=options["prefill_tokens_per_s"],
        preemption=options["preemption"],
        prefix_cache=options["prefix_cache"] == "on",
        jumps=jumps,
    )


SEED = click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**64 - 1),
    default=0,
    show_default=True,
    help="Of arrivals that a trace lacks, and of generated requests.",
)


def source_options(command: Command) -> Command:
    """``--trace`` and ``--synthetic``."""
    return stack(
        command,
        click.option(
            "--trace",
            type=click.Path(path_type=Path),
            multiple=True,
            metavar="PATH",
            help="A request trace: a file or a folder; several are one trace (repeatable).",
        ),
        click.option(
            "--synthetic",
            type=One(parse_synthetic, "settings"),
            metavar="NAME=VALUE,...",
            help="Requests that are drawn, in place of a trace: requests=10000, prompt-tokens=161, "
            "output-tokens=338, spread=1, longest-tokens, turns=1, pause=60.",
        ),
    )


def trace_options(command: Command) -> Command:
    """`reading_options` and ``--seed``."""
    return reading_options(SEED(command))


def reading_options(command: Command) -> Command:
    """``--trace-format``, ``--clocks``, ``--rate``, ``--duration``, ``--skip-bad-rows``."""
    return stack(
        command,
        click.option(
            "--trace-format",
            metavar="NAME",
            help="The trace's format  [default: what its contents show]",
        ),
        click.option(
            "--clocks",
            type=click.Choice(("one", "each")),
            help="Whether all times of a trace are on one clock, or each file has its own and "
            "follows the one before  [default: one, but where a file plainly starts anew]",
        ),
        click.option(
            "--rate",
            type=POSITIVE,
            metavar="PER-SECOND",
            help="Stretch a trace to so many requests per second; 1 where there are no times.",
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
