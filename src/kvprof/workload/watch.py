"""A running query of DuckDB in, which part of it is done told to whoever shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Progress = Callable[[str, float], None]

_EVERY_S = 0.2


class Watch:
    """Tells ``progress`` what is being done and which part of it is, from a thread of its own."""

    def __init__(self, connection: DuckDBPyConnection, progress: Progress) -> None:
        self.doing = "reading the trace"
        self._connection = connection
        self._progress = progress
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell no more; to be called before the connection is closed."""
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        while not self._ended.wait(_EVERY_S):
            # -1 between queries, and in those that cannot tell.
            percent = self._connection.query_progress()
            self._progress(self.doing, max(0.0, percent) / 100)
