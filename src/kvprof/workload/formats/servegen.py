"""ServeGen (Alibaba): parameters of clients, from which requests are drawn.

Each client has ``*-trace.csv`` (``start_s, rate, cv, pattern, shape, scale`` for each window) and
``*-dataset.json`` (for each span of windows how often each length occurs). As its own generator
does (``servegen/construct.py``), a window gets ceil(rate x window) gaps between arrivals from its
pattern, stretched to fill the window, and one draw decides both lengths of a request.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kvprof.errors import TraceError
from kvprof.workload.database import Database, explained
from kvprof.workload.files import TraceFile, lines_sql, read_document
from kvprof.workload.format import Format, Head, Request

DURATION_S = 3600.0

_COLUMNS = 6
_MAX_WINDOWS = 100_000
_MAX_WINDOW_REQUESTS = 20_000_000
_LENGTH = re.compile(r"(\d+): ([0-9.]+(?:e-?\d+)?)")


class _Window(Struct, frozen=True):
    """One window of one client: its start, mean rate and the gaps between its arrivals."""

    start_s: float
    rate: float
    pattern: str
    shape: float
    scale: float


class _Lengths(Struct, frozen=True):
    """The lengths that occur, ``[n]``, and how often up to each of them, ``[n]``."""

    tokens: NDArray[np.int64]
    cumulative: NDArray[np.float64]

    def at(self, quantiles: NDArray[np.float64]) -> NDArray[np.int64]:
        last = len(self.tokens) - 1
        return self.tokens[np.minimum(np.searchsorted(self.cumulative, quantiles), last)]


class _Client(Struct, frozen=True):
    """A client: its windows, and from which second on which lengths hold (prompt, output)."""

    file: TraceFile
    windows: tuple[_Window, ...]
    window_s: float
    lengths: dict[float, tuple[_Lengths, _Lengths]]

    def lengths_at(self, start_s: float) -> tuple[_Lengths, _Lengths] | None:
        held = [start for start in self.lengths if start <= start_s]
        return self.lengths[max(held)] if held else None


def _is_windows(head: Head) -> bool:
    if head.kind != "csv" or len(head.names) != _COLUMNS or head.names[3] not in _PATTERNS:
        return False
    return all(re.fullmatch(r"[0-9.eE+-]+", n) for i, n in enumerate(head.names) if i != 3)


def _is_lengths(head: Head) -> bool:
    first = head.first or {}
    return bool(first) and all(
        key.isdecimal() and isinstance(value, dict) and "input_tokens" in value
        for key, value in first.items()
    )


def _gamma(generator: np.random.Generator, window: _Window, count: int) -> NDArray[np.float64]:
    return generator.gamma(window.shape, window.scale, count)


def _weibull(generator: np.random.Generator, window: _Window, count: int) -> NDArray[np.float64]:
    return window.scale * generator.weibull(window.shape, count)


_PATTERNS = {"": None, "Gamma": _gamma, "Weibull": _weibull}


def _generate(
    database: Database, files: Sequence[TraceFile], side: Sequence[TraceFile], asked: Request
) -> list[str]:
    """Draw ``duration_s`` of requests, from the first window in which a client asks for any."""
    side = list(side) or _siblings(database, files)
    clients = [_client(database, file, side) for file in files]
    starts = [w.start_s for client in clients for w in client.windows if w.rate > 0]
    if not starts:
        raise TraceError(f"{files[0].path}: no window has a rate above 0, so no request is made")
    first, duration = min(starts), asked.duration_s or DURATION_S
    expected = sum(
        window.rate * max(0.0, min(client.window_s, first + duration - window.start_s))
        for client in clients
        for window in client.windows
    )
    louder = asked.rate * duration / expected if asked.rate else 1.0
    generator = np.random.default_rng(asked.seed)
    for number, client in enumerate(clients):
        for window in client.windows:
            if window.rate > 0 and window.start_s < first + duration:
                _insert(database, _draw(client, window, louder, generator), number, first, duration)
    return [
        f"Requests are drawn from the parameters of {len(clients)} "
        f"{'client' if len(clients) == 1 else 'clients'}, {duration:g} s from second {first:g} on, "
        f"the first in which one asks for any; seed {asked.seed}.",
        "One draw decides both lengths of a request, as in ServeGen's own generator.",
    ]


def _draw(
    client: _Client, window: _Window, louder: float, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Arrivals in seconds and lengths in tokens of one window, each ``[n]``."""
    count = int(np.ceil(window.rate * louder * client.window_s))
    if count > _MAX_WINDOW_REQUESTS:
        raise TraceError(f"{client.file.path}: {count} requests in a window are too many")
    lengths = client.lengths_at(window.start_s)
    if lengths is None:
        raise TraceError(
            f"{client.file.path}: requests from second {window.start_s:g} on, but no lengths "
            "for them in its *-dataset.json"
        )
    draw = _PATTERNS[window.pattern] or _gamma
    gaps = draw(generator, window, count)
    arrivals = window.start_s + np.cumsum(gaps) * (client.window_s / max(gaps.sum(), 1e-300))
    quantiles = generator.random(count)
    return arrivals, lengths[0].at(quantiles), lengths[1].at(quantiles)


def _insert(
    database: Database,
    drawn: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]],
    client: int,
    first: float,
    duration: float,
) -> None:
    arrivals, prompts, outputs = drawn
    kept = arrivals < first + duration
    columns: dict[str, Any] = {
        "arrival_ns": np.rint((arrivals[kept] - first) * 1e9).astype(np.int64),
        "prompt_tokens": np.maximum(prompts[kept], 1),
        "output_tokens": outputs[kept],
    }
    database.insert("staged", columns)


def _client(database: Database, file: TraceFile, side: Sequence[TraceFile]) -> _Client:
    stem = file.path.name.partition("-trace.csv")[0]
    beside = [s for s in side if s.path.name.partition("-dataset.json")[0] == stem]
    if not beside:
        raise TraceError(
            f"{file.path}: the lengths of its requests are missing",
            hint=f"ServeGen keeps them in {stem}-dataset.json beside it.",
        )
    windows = tuple(_windows(database, file))
    starts = sorted({window.start_s for window in windows})
    window_s = min((b - a for a, b in pairwise(starts)), default=600.0)
    return _Client(file, windows, window_s, _lengths(database, beside[0]))


def _siblings(database: Database, files: Sequence[TraceFile]) -> list[TraceFile]:
    from kvprof.workload.files import open_file  # noqa: PLC0415

    folders = dict.fromkeys(file.path.parent for file in files)
    found = [p for folder in folders for p in sorted(folder.glob("*-dataset.json*"))]
    return [open_file(database, path) for path in found]


def _windows(database: Database, file: TraceFile) -> Iterator[_Window]:
    with explained(file.path):
        found = database.rows(
            f"SELECT line FROM {lines_sql(file.link, file.compression)} LIMIT {_MAX_WINDOWS + 1}"
        )
    if len(found) > _MAX_WINDOWS:
        raise TraceError(f"{file.path}: more than {_MAX_WINDOWS} windows")
    for number, (line,) in enumerate(found, 1):
        if line is None:
            continue
        try:
            start, rate, _, pattern, shape, scale = next(csv.reader([line]))
            window = _Window(float(start), float(rate), pattern, float(shape), float(scale))
        except ValueError:
            raise TraceError(
                f"{file.path}:{number}: no start, rate, cv, pattern, shape and scale of a window: "
                f"{line[:80]!r}"
            ) from None
        usable = np.isfinite([window.start_s, window.rate, window.shape, window.scale]).all()
        if not usable or window.rate < 0 or pattern not in _PATTERNS:
            raise TraceError(f"{file.path}:{number}: no usable window: {line[:80]!r}")
        if window.rate > 0 and not (pattern and window.shape > 0 and window.scale > 0):
            raise TraceError(f"{file.path}:{number}: a rate without a pattern: {line[:80]!r}")
        yield window


def _lengths(database: Database, file: TraceFile) -> dict[float, tuple[_Lengths, _Lengths]]:
    document = read_document(database, file)
    if not _is_lengths(Head("json", (), document if isinstance(document, dict) else None)):
        raise TraceError(f"{file.path}: not the lengths of a ServeGen client")
    found = {}
    for start, fields in document.items():
        prompt, output = (_frequencies(fields.get(f)) for f in ("input_tokens", "output_tokens"))
        if prompt is not None and output is not None:
            found[float(start)] = (prompt, output)
    return found


def _frequencies(text: object) -> _Lengths | None:
    """From a Python dict of length to frequency, as text; read without running it."""
    pairs = _LENGTH.findall(text) if isinstance(text, str) else []
    if not pairs:
        return None
    tokens = np.array([pair[0] for pair in pairs], np.int64)
    order = np.argsort(tokens)
    share = np.array([pair[1] for pair in pairs], np.float64)[order]
    total = share.sum()
    return _Lengths(tokens[order], np.cumsum(share) / total) if total > 0 else None


SERVEGEN = Format(
    name="servegen",
    summary="ServeGen client parameters: *-trace.csv with *-dataset.json; requests are drawn",
    fields={},
    kinds=frozenset({"csv"}),
    recognises=_is_windows,
    side=_is_lengths,
    generate=_generate,
)
