"""Files in, the one format that their contents are of out."""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.errors import TraceError
from kvprof.workload.files import TraceFile
from kvprof.workload.format import Format, Head
from kvprof.workload.formats import FORMATS

_SHOWN = 60


def detect(
    files: Sequence[TraceFile], *, forced: str | None, whole_folder: bool
) -> tuple[Format, list[TraceFile], list[TraceFile], list[TraceFile]]:
    """The format, and the files that hold requests, that belong beside them, that are neither.

    Parameters
    ----------
    forced
        The name of the format, whatever the contents.
    whole_folder
        Whether the files are what a folder holds: some may be something else, as a README is.

    Raises
    ------
    TraceError
        When no file is of a known format, or they are of several.
    """
    if forced is not None:
        format_ = _forced(forced)
        side = [f for f in files if format_.side and format_.side(f.head)]
        return format_, [f for f in files if f not in side], side, []
    by_file = [(file, format_of(file.head)) for file in files]
    names = sorted({format_.name for _, format_ in by_file if format_})
    if not names:
        raise _unknown(files[0], len(files))
    if len(names) > 1:
        raise TraceError(
            f"{files[0].path.parent if whole_folder else files[0].path}: files of "
            f"{len(names)} formats are not one trace: {', '.join(names)}",
            hint="Give those of one trace, or list each by itself.",
        )
    format_ = FORMATS[names[0]]
    traces = [file for file, found in by_file if found]
    side = [f for f, found in by_file if not found and format_.side and format_.side(f.head)]
    other = [f for f in files if f not in traces and f not in side]
    if other and not whole_folder:
        raise _unknown(other[0], 1)
    return format_, traces, side, other


def format_of(head: Head) -> Format | None:
    """The format of a file that begins like this: of several the one that asks for most."""
    fitting = [format_ for format_ in FORMATS.values() if format_.is_of(head)]
    return max(fitting, key=lambda format_: len(format_.needed), default=None)


def _forced(name: str) -> Format:
    try:
        return FORMATS[name]
    except KeyError:
        raise TraceError(
            f"no trace format is named {name[:60]!r}", hint=f"There are {', '.join(FORMATS)}."
        ) from None


def _unknown(file: TraceFile, files: int) -> TraceError:
    head = file.head
    shown = ", ".join(head.names[:12]) if head.names and head.kind != "csv" else head.line
    what = f"{file.path}: no trace format that is known; it begins with {shown[:_SHOWN]!r}"
    if not shown:
        what = f"{file.path}: no trace format that is known: there is no text in it"
    if head.kind == "parquet":
        what = f"{file.path}: no trace format that is known; its columns are {shown[:200]}"
    if files > 1:
        what = f"{file.path.parent}: none of its {files} files is of a trace format that is known"
    return TraceError(
        what,
        hint=f"Formats are {', '.join(FORMATS)}; --trace-format forces one. "
        "A plain CSV has the columns arrival_s, prompt_tokens and output_tokens.",
    )
