"""The last step of every verb: results into a document, the document to where it goes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvprof.document import Document
from kvprof.output import Destination
from kvprof.reports import render

if TYPE_CHECKING:
    from msgspec import Struct

    from kvprof.commands import Session


def emit(
    kind: str,
    results: Sequence[Struct],
    destination: Destination,
    format_: str,
    session: Session,
) -> None:
    """Write the results as one document."""
    document = Document(kind, tuple(results), session.argv)
    terminal = destination.is_stdout and sys.stdout.isatty()
    destination.write(render(document, format_, terminal=terminal))
