"""Options of `kvprof profile` alone: the device, its memory, what is timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from kvprof.commands.options import stack
from kvprof.commands.values import BYTES, COUNT, SECONDS, ListOf, One, parse_cpus
from kvprof.errors import UsageError
from kvprof.operations import OPERATIONS
from kvprof.units import parse_lengths


def _one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise UsageError(
                f"{text[:40]!r} is none of its values", hint=f"Known: {', '.join(allowed)}."
            )
        return text.lower()

    return parse


def choices(*allowed: str) -> ListOf[str]:
    """A list of some of these values."""
    return ListOf(_one_of(allowed), "|".join(allowed))


def device_options(command: Any) -> Any:
    """``--device``, ``--threads``, ``--cpus``, ``--huge-pages``, ``--allocation``, the memory."""
    return stack(
        command,
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
        click.option(
            "--threads", type=COUNT, help="Threads, each pinned to a core  [default: all usable]"
        ),
        click.option(
            "--cpus",
            type=One(parse_cpus, "cpus"),
            metavar="LIST",
            help="CPUs to pin a thread to each, e.g. 0-3,8  [default: all usable]",
        ),
        click.option(
            "--huge-pages/--no-huge-pages",
            default=None,
            help="Ask the system for pages of 2 MiB, or for none; the result says what it gave  "
            "[default: huge-pages]",
        ),
        click.option(
            "--allocation",
            metavar="POLICY",
            help="How the memory is allocated: huge_pages or plain on the CPU; plain, pool or vmm "
            "on a CUDA device  [default: the first that the device has]",
        ),
        click.option(
            "--stream-memory",
            type=BYTES,
            metavar="BYTES",
            help="Memory really allocated and streamed  [default: a quarter of what is free, at "
            "most 4GiB and what can be touched in about 4 s; half and 16GiB on a CUDA device]",
        ),
    )


def allocation_policy(options: dict[str, Any]) -> str:
    """The policy that ``--allocation`` or ``--huge-pages`` names; empty: the device's own.

    Raises
    ------
    UsageError
        When both are given and differ, or huge pages are asked of a device with its own memory.
    """
    asked: str | None = options["allocation"]
    if options["huge_pages"] is None:
        return (asked or "").lower()
    flag = "--huge-pages" if options["huge_pages"] else "--no-huge-pages"
    means = "huge_pages" if options["huge_pages"] else "plain"
    if options["device"] != "cpu":
        raise UsageError(
            f"{flag} is about the CPU's memory, and --device is {options['device'][:40]!r}",
            hint="Choose how a device's memory is allocated with --allocation.",
        )
    if asked and asked.lower() != means:
        raise UsageError(
            f"{flag} and --allocation {asked[:40]} are two ways to say one thing, and differ",
            hint="Give one of them.",
        )
    return means


def order_options(command: Any) -> Any:
    """``--page-order``, ``--kv``, ``--outer``."""
    return stack(
        command,
        click.option(
            "--page-order",
            type=choices("nhd", "hnd"),
            multiple=True,
            help="Rows first or heads first in a page  [default: nhd]",
        ),
        click.option(
            "--kv",
            type=choices("packed", "apart"),
            multiple=True,
            help="K and V of a row side by side, or all K of a page before all V  "
            "[default: packed]",
        ),
        click.option(
            "--outer",
            type=choices("layer", "block"),
            multiple=True,
            help="Outermost dimension: each layer's blocks together, or each block's layers  "
            "[default: layer]",
        ),
    )


def timing_options(command: Any) -> Any:
    """``--lengths``, ``--operations``, ``--time-budget``, ``--profiler-safe``, ``--seed``."""
    return stack(
        command,
        click.option(
            "--lengths",
            type=One(parse_lengths, "lengths"),
            multiple=True,
            metavar="COUNTxTOKENS,...",
            help="A batch of mixed lengths, e.g. 32x512,8x4k (repeatable).",
        ),
        click.option(
            "--operations",
            type=choices(*OPERATIONS, "step", "all"),
            multiple=True,
            metavar="LIST",
            help=f"Streams to time: {', '.join(OPERATIONS)}; step: what a decode step does  "
            "[default: all; step for several shapes]",
        ),
        click.option(
            "--time-budget",
            type=SECONDS,
            metavar="SECONDS",
            help="Time to sample the streams of each result in; touching and checking the memory "
            "come on top  [default: 10; 4 for several shapes]",
        ),
        click.option(
            "--profiler-safe",
            is_flag=True,
            help="Run each operation once and hold no launches back: for running under Nsight "
            "Systems or Compute. Its rates are not measurements.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0, 2**32 - 1),
            default=0,
            show_default=True,
            help="Of the pool's bytes, the shuffled orders and the traffic.",
        ),
    )
