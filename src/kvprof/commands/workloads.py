"""``--trace`` or ``--synthetic`` and what goes with them in, an open workload out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kvprof.errors import UsageError

if TYPE_CHECKING:
    from kvprof.workload.batch import Workload
    from kvprof.workload.synthetic import Synthetic
    from kvprof.workload.trace import Trace

_LONGEST_S = 4e9
_OF_TRACES = ("trace_format", "skip_bad_rows", "clocks")


class Source(Struct, frozen=True):
    """A workload that is open: what it is, about how many requests, and which rows are none."""

    workload: Workload
    format: str
    notes: tuple[str, ...]
    requests: float
    skipped_rows: int


@contextmanager
def open_source(
    options: dict[str, Any], show: Callable[[str, float], None] | None = None
) -> Iterator[Source]:
    """The workload that is asked for.

    Raises
    ------
    UsageError
        When there is none, or two, or an option of traces without a trace.
    TraceError, DeviceError
        When a trace cannot be read.
    """
    if check_source(options) == "synthetic":
        source = synthetic(options)
        yield Source(source, "synthetic", source.notes, source.expected_requests, 0)
        return
    with open_paths(options["trace"], options, show) as trace:
        facts = trace.facts
        notes = (*facts.notes, *facts.rows_left_out)
        yield Source(trace, facts.format, notes, facts.requests, facts.skipped_rows)


def check_source(options: dict[str, Any]) -> str | None:
    """``trace``, ``synthetic``, or None where neither is given.

    Raises
    ------
    UsageError
        When both are, or an option of traces without a trace.
    """
    if options["synthetic"] is None:
        return "trace" if options["trace"] else None
    if options["trace"]:
        raise UsageError(
            "--trace and --synthetic are two sources of requests", hint="Give one of them."
        )
    for name in _OF_TRACES:
        if options[name]:
            raise UsageError(
                f"--{name.replace('_', '-')} is about traces, and requests are synthetic",
                hint="Leave it out, or give --trace.",
            )
    return "synthetic"


def open_paths(
    paths: Sequence[Path], options: dict[str, Any], show: Callable[[str, float], None] | None = None
) -> Trace:
    """Files and folders as one trace, read as the options say."""
    from kvprof.workload.trace import open_trace  # noqa: PLC0415

    return open_trace(
        paths,
        format=options["trace_format"],
        rate=options["rate"],
        duration_s=options["duration"],
        skip_bad_rows=options["skip_bad_rows"],
        seed=options["seed"],
        clocks=options["clocks"],
        progress=show,
    )


def synthetic(options: dict[str, Any]) -> Synthetic:
    """The workload of ``--synthetic``.

    Raises
    ------
    UsageError
        When a duration makes more requests than there may be.
    """
    from kvprof.workload.settings import MOST_REQUESTS, REQUESTS  # noqa: PLC0415
    from kvprof.workload.synthetic import Synthetic  # noqa: PLC0415

    asked = dict(options["synthetic"])
    asked.setdefault("requests", None if options["duration"] else REQUESTS)
    source = Synthetic(
        rate=options["rate"] or 1.0,
        duration_s=options["duration"],
        seed=options["seed"],
        **asked,
    )
    if source.expected_requests > MOST_REQUESTS:
        raise UsageError(
            f"{source.rate:g} requests/s for {source.duration_s:g} s are "
            f"{source.expected_requests:,.6g}, too many; at most {MOST_REQUESTS:,} are made",
            hint="Give a shorter --duration, a smaller --rate, or requests=N in --synthetic.",
        )
    if (source.requests or 0) / source.rate > _LONGEST_S:
        raise UsageError(
            f"{source.requests:,} requests at {source.rate:g} a second take more than "
            f"{_LONGEST_S:g} s",
            hint="Give a larger --rate, or fewer requests.",
        )
    return source
