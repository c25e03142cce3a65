"""A document's text in; on stdout, or in a file that is whole or not there at all."""

from __future__ import annotations

import contextlib
import os
import sys
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
        if self._path is None or self._is_stream(self._path):
            return
        if self._path.is_dir():
            raise UsageError(f"-o {self._path} is a folder", hint="Give a file in it.")
        if self._path.exists() and not force:
            raise UsageError(
                f"-o {self._path} exists and is not overwritten", hint="Say --force to replace it."
            )
        self._write_temporary(self._path, "").unlink()

    @property
    def is_stdout(self) -> bool:
        return self._path is None

    def write(self, text: str) -> None:
        """Write all of the text, or nothing: to a temporary name first, then renamed."""
        if self._path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        elif self._is_stream(self._path):
            self._path.write_text(text, encoding="utf-8")
        else:
            self._write_temporary(self._path, text).replace(self._path)
            print(f"Wrote {self._path}", file=sys.stderr)

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
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if isinstance(error, OSError):
                raise UsageError(
                    f"cannot write -o {path}: {error.strerror}",
                    hint="Its folder must exist, be writable and have room.",
                ) from None
            raise
        return temporary
