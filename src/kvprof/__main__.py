"""``kvprof`` at a prompt: run a verb, turn what goes wrong into one message and an exit code."""

from __future__ import annotations

import gc
import io
import sys
import traceback
import warnings

import click

from kvprof.commands import VERBS, Session, kvprof
from kvprof.errors import DeviceError, KvprofError, PluginWarning

INTERRUPTED = 130
_COLLECT_EVERY = 100_000
"""Objects made between garbage collections: a listing makes many that live until it ends."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    session = Session(argv=("kvprof", *arguments))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # tables have lines that not every locale has
    gc.set_threshold(_COLLECT_EVERY)
    warnings.showwarning = _warn  # type: ignore[assignment]
    warnings.simplefilter("always", PluginWarning)
    try:
        kvprof.main(arguments, prog_name="kvprof", standalone_mode=False, obj=session)
    except BaseException as error:
        return _explain(error, session)
    return 0


def _explain(error: BaseException, session: Session) -> int:
    """One message on stderr, no traceback unless it was asked for; return the exit code."""
    if session.traceback and not isinstance(error, click.exceptions.Exit):
        traceback.print_exception(error)
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, KvprofError):
        return _say(str(error), error.exit_code)
    if isinstance(error, click.UsageError):
        return _say(_usage(error, session), 2)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _say("interrupted", INTERRUPTED)
    if isinstance(error, MemoryError):
        return _say(
            f"out of memory: {error}\nEnd what else uses the memory, or ask for less.",
            DeviceError.exit_code,
        )
    kind = type(error).__name__
    return _say(
        f"internal error: {kind}: {error}\nRun it again with --traceback and report what it shows.",
        5,
    )


def _warn(message: Warning | str, *_: object) -> None:
    print(f"kvprof: warning: {message}", file=sys.stderr)


def _usage(error: click.UsageError, session: Session) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - needed only where something is wrong

    at_verb = error.ctx is not None and error.ctx.command is kvprof
    verb = next((word for word in session.argv[1:] if not word.startswith("-")), None)
    if not at_verb or verb in VERBS or isinstance(error, click.NoSuchOption):
        help_of = error.ctx.command_path if error.ctx else "kvprof"
        return f"{error.format_message()}\n`{help_of} --help` shows what is allowed."
    if verb is None:
        return f"no verb is given\nTry kvprof {'|'.join(VERBS)}; `kvprof --help` explains them."
    nearest = get_close_matches(verb, VERBS, n=1)
    meant = f"Did you mean {nearest[0]}? " if nearest else ""
    return f"no verb is named {verb[:60]!r}\n{meant}`kvprof --help` shows them all."


def _say(message: str, exit_code: int) -> int:
    print(f"kvprof: error: {message}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
