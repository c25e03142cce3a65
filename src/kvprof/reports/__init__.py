"""A document in, text out: table, JSON, CSV or Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.check_result import AgreementResult
from kvprof.document import Document, document_json
from kvprof.reports.sheet import Sheet


def render(document: Document, format_: str, *, terminal: bool = False) -> str:
    """The text of a document in a format of ``--format``."""
    if format_ == "json":
        from kvprof.environment import environment  # noqa: PLC0415

        return document_json(document, environment())
    if format_ == "csv":
        from kvprof.reports.flat import document_csv  # noqa: PLC0415

        return document_csv(document)
    sheets = sheets_of(document)
    if format_ == "markdown":
        from kvprof.reports.markdown import sheets_markdown  # noqa: PLC0415

        return sheets_markdown(sheets)
    from kvprof.reports.terminal import sheets_terminal  # noqa: PLC0415

    return sheets_terminal(sheets, terminal=terminal)


def sheets_of(document: Document) -> Sequence[Sheet]:
    """The tables that show a document to a person."""
    if document.kind == "size":
        from kvprof.reports.size import size_sheets  # noqa: PLC0415

        return size_sheets(document)
    if document.kind == "profile":
        from kvprof.reports.profile import profile_sheets  # noqa: PLC0415

        return profile_sheets(document)
    if document.kind == "replay":
        from kvprof.reports.replay import replay_sheets  # noqa: PLC0415

        return replay_sheets(document)
    if document.kind == "solve":
        from kvprof.reports.solve import solve_sheets  # noqa: PLC0415

        return solve_sheets(document)
    if document.kind == "traces":
        from kvprof.reports.traces import trace_sheets  # noqa: PLC0415

        return trace_sheets(document)
    agreements = [r for r in document.results if isinstance(r, AgreementResult)]
    if agreements:
        from kvprof.reports.agreement import agreement_sheets  # noqa: PLC0415

        return agreement_sheets(agreements)
    from kvprof.reports.listing import listing_sheets  # noqa: PLC0415

    return listing_sheets(document)
