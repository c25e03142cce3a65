"""A document's text in; on stdout, or in a file that is whole or not there at all."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from kvprof.errors import UsageError

STDOUT = Path("-")


class Destination:
    """Where a result goes. Checked before the work starts, so that no result is lost at its end.

    Parameters
    ----------
    path
        A file, or None or ``-`` for stdout.
    force
        Whether an existing file may be replaced.

    Raises
    ------
    UsageError
        When the file exists and may not be replaced, or cannot be written.
    """

    def __init__(self, path: Path | None, *, force: bool) -> None:
        self._path = None if path in (None, STDOUT) else path
        if self._path is not None:
            with _explained(f"-o {self._path}"):
                if self._path.is_symlink() and not self._is_stream(self._path):
                    self._path = Path(os.path.realpath(self._path))  # the link stays a link
                self._check(self._path, force=force)
        elif sys.stdout is None:
            raise UsageError("stdout is closed", hint="Give -o FILE.")

    @property
    def is_stdout(self) -> bool:
        return self._path is None

    def write(self, text: str) -> None:
        """Write all of the text, or nothing: to a temporary name first, then renamed."""
        with _explained("stdout" if self._path is None else f"-o {self._path}"):
            if self._path is None:
                self._write_stdout(text)
                return
            if self._is_stream(self._path):
                self._path.write_text(text, encoding="utf-8")
                return
            self._write_temporary(self._path, text).replace(self._path)
        print(f"Wrote {self._path}", file=sys.stderr)

    @staticmethod
    def _write_stdout(text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            # Its reader went away: nobody is left to be told, and nothing to be flushed at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _check(self, path: Path, *, force: bool) -> None:
        if self._is_stream(path):
            return
        if path.is_dir():
            raise UsageError(f"-o {path} is a folder", hint="Give a file in it.")
        if path.exists() and not force:
            raise UsageError(
                f"-o {path} exists and is not overwritten", hint="Say --force to replace it."
            )
        self._write_temporary(path, "").unlink()

    @staticmethod
    def _is_stream(path: Path) -> bool:
        """A pipe or a device such as /dev/stdout, which cannot be renamed onto."""
        return path.exists() and not path.is_file() and not path.is_dir()

    @staticmethod
    def _write_temporary(path: Path, text: str) -> Path:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("x", encoding="utf-8") as file:
                file.write(text)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        return temporary


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """Say which destination the system refused, and why."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {where}: {error.strerror}",
            hint="Its folder must exist, be writable and have room.",
        ) from None
