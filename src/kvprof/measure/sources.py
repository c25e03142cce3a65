"""Sizes of rows in, memories of the device with random rows to append out."""

from __future__ import annotations

from collections.abc import Collection

from kvprof._core import Backend, Memory


class Sources:
    """Rows that appends of one placement stream, within the bytes that its pool leaves for them.

    A source holds whole rows and nothing else, so there is one memory for each size of a row.

    Parameters
    ----------
    nbytes
        Of all of them together.
    """

    def __init__(self, backend: Backend, nbytes: int, seed: int) -> None:
        self.nbytes = nbytes
        self._backend = backend
        self._seed = seed
        self._memories: dict[int, Memory] = {}

    @property
    def memories(self) -> dict[str, Memory]:
        """Those that there are, by what messages call them."""
        named = self._memories.items()
        return {f"the rows of {size} B to append": memory for size, memory in named}

    def hold(self, row_sizes: Collection[int]) -> None:
        """Give back those that there were, and fill as much for each of these sizes.

        Raises
        ------
        MemoryError
            When it is not there.
        """
        self.release()
        for size in row_sizes:
            rows = max(1, self.nbytes // len(row_sizes) // size)
            self._memories[size] = memory = self._backend.allocate(rows * size)
            self._backend.fill(memory, 0, memory.nbytes, self._seed)

    def of(self, row_bytes: int) -> Memory:
        """The rows of one of the sizes that are held."""
        return self._memories[row_bytes]

    def release(self) -> None:
        """Give all of them back."""
        while self._memories:
            _, memory = self._memories.popitem()
            memory.release()
