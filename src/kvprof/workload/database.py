"""DuckDB out of core: one database in a temporary folder, and its errors in our words."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kvprof.errors import DeviceError, TraceError, UnavailableError
from kvprof.workload.watch import Progress, Watch

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_BYTES = 2**30
"""What DuckDB may hold in memory; it spills the rest to the temporary folder."""

_REASON = re.compile(r"Invalid unicode[^\n]*|Maximum line size[^\n.]*")
"""What matters in an error of DuckDB's CSV reader, which quotes the row before it says it."""

_LINK = re.compile(r"""(?::| in file)? ["']?\S*/kvprof-\w+/file\d+["']?""")
"""The name of a link, which says nothing to who gave the file."""

_TMPDIR = "Point TMPDIR at a disk with room for the trace uncompressed."

_MAX_THREADS = 8
"""Each thread has buffers of its own, and one file is seldom read faster by more."""


class Database:
    """A DuckDB of its own, gone with its folder when it is closed.

    Files are read through links in that folder: DuckDB takes names for patterns and for
    addresses on the network, and a link's name is neither.

    Raises
    ------
    TraceError
        When DuckDB is not installed.
    DeviceError
        When there is no temporary folder.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES, progress: Progress | None = None) -> None:
        duckdb = _duckdb()
        try:
            self._folder = TemporaryDirectory(prefix="kvprof-", ignore_cleanup_errors=True)
        except OSError as error:
            raise DeviceError(
                f"no temporary folder for the trace's table: {error.strerror}", hint=_TMPDIR
            ) from None
        self._links = 0
        self._watch: Watch | None = None
        try:
            self.connection: DuckDBPyConnection = duckdb.connect(
                str(Path(self._folder.name) / "trace.duckdb"),
                config={
                    "memory_limit": f"{memory_bytes}B",
                    "temp_directory": str(Path(self._folder.name) / "spill"),
                    "threads": min(_MAX_THREADS, len(os.sched_getaffinity(0))),
                    "preserve_insertion_order": True,
                    "autoinstall_known_extensions": False,
                },
            )
            self.execute("SET TimeZone = 'UTC'")
            # DuckDB shows a bar of its own, on stdout, where it takes Python to be interactive.
            self.execute("SET enable_progress_bar_print = false")
            self.execute(f"SET enable_progress_bar = {progress is not None}")
            if progress:
                self._watch = Watch(self.connection, progress)
        except BaseException:
            self._folder.cleanup()
            raise

    def close(self) -> None:
        """Drop all tables and the folder."""
        self.unwatch()
        self.connection.close()
        self._folder.cleanup()

    def doing(self, what: str) -> None:
        """What the statements that follow are for, where progress is shown."""
        if self._watch:
            self._watch.doing = what

    def unwatch(self) -> None:
        """Show no more progress."""
        if self._watch:
            self._watch.close()
            self._watch = None

    def link(self, path: Path) -> str:
        """A name for a file that DuckDB reads as it stands."""
        self._links += 1
        link = Path(self._folder.name) / f"file{self._links}"
        link.symlink_to(path.resolve())
        return str(link)

    def execute(self, sql: str) -> DuckDBPyConnection:
        """Run one statement."""
        with _interruptible():
            return self.connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""
        answer = self.execute(sql)
        with _interruptible():
            return answer.fetchall()

    def row(self, sql: str) -> tuple[Any, ...]:
        """The one row of an answer."""
        (row,) = self.rows(sql)
        return row

    def arrays(self, sql: str) -> dict[str, Any]:
        """The columns of an answer as arrays."""
        answer = self.execute(sql)
        with _interruptible():
            return answer.fetchnumpy()

    def insert(self, table: str, columns: dict[str, Any]) -> None:
        """Append arrays ``[n]`` to the columns of a table that have their names."""
        self.connection.register("arrays", columns)
        names = ", ".join(columns)
        try:
            self.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM arrays")
        finally:
            self.connection.unregister("arrays")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C as Python has it: DuckDB ends a query with an error of its own."""
    try:
        yield
    except Exception as error:
        if "Query interrupted" in str(error) or isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


@contextlib.contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Say in our words why a file could not be read, or its rows not be held."""
    duckdb = _duckdb()
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise DeviceError(
            f"{path}: no room to sort its rows: {first_line(error)}",
            hint=_TMPDIR,
        ) from None
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException):
        raise  # our SQL is wrong, not the file
    except (duckdb.Error, UnicodeError) as error:
        if "No space left" in str(error):
            raise DeviceError(
                f"{path}: the temporary folder is full: {first_line(error)}", hint=_TMPDIR
            ) from None
        raise TraceError(
            f"{path}: cannot be read: {first_line(error)}", hint="Is the file complete?"
        ) from None


def first_line(error: Exception) -> str:
    """What a DuckDB error says, without the row, the advice and the SQL that follow."""
    text = _LINK.sub("", str(error))
    first = text.partition("\n")[0][:200] or type(error).__name__
    reason = _REASON.search(text)
    told = f"{first}: {reason[0]}" if reason and reason[0] not in first else first
    return told.removeprefix("Invalid Input Error: ").removeprefix("IO Error: ")


def quoted(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """Text as an SQL name."""
    return '"' + text.replace('"', '""') + '"'


def _duckdb() -> Any:
    try:
        import duckdb  # noqa: PLC0415 - heavy, and only traces need it
    except ImportError:
        raise UnavailableError(
            "reading request traces needs DuckDB, which is not installed",
            hint="pip install 'kvprof[traces]'",
        ) from None
    return duckdb
