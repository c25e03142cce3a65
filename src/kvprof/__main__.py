"""``kvprof`` at a prompt: run a verb, turn what goes wrong into one message and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback

import click

from kvprof.commands import Session, kvprof
from kvprof.errors import KvprofError

INTERRUPTED = 130
_BUG_URL = "https://github.com/kvprof/kvprof/issues"


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    session = Session(argv=("kvprof", *arguments))
    logging.basicConfig(format="kvprof: %(levelname)s: %(message)s", level=logging.WARNING)
    logging.addLevelName(logging.WARNING, "warning")
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
        help_of = error.ctx.command_path if error.ctx else "kvprof"
        return _say(f"{error.format_message()}\n`{help_of} --help` shows what is allowed.", 2)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _say("interrupted", INTERRUPTED)
    if isinstance(error, BrokenPipeError):
        # The reader of stdout went away; nobody is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, MemoryError):
        return _say(f"out of memory: {error}\nTry a smaller --stream-memory.", 3)
    if isinstance(error, SystemExit):
        return int(error.code or 0)
    kind = type(error).__name__
    return _say(
        f"internal error: {kind}: {error}\nRun it again with --traceback and report it: {_BUG_URL}",
        5,
    )


def _say(message: str, exit_code: int) -> int:
    print(f"kvprof: error: {message}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
