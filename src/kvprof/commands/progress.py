"""Progress on stderr, and only to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_display() -> Iterator[Callable[[str, float], None]]:
    """A function that shows what is being done and which part of it is; it may show nothing."""
    if not sys.stderr.isatty():
        yield lambda what, part: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description:<40}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task("starting", total=1.0)
        yield lambda what, part: display.update(task, description=what, completed=part)
