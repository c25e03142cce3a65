"""Results of `kvprof replay` in, their tables out: what happened, and where the bytes were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from kvprof.document import Document
from kvprof.plan import POOL_SHARES, REQUEST_WASTES
from kvprof.replay_result import ReplayResult
from kvprof.reports.replay_pools import heading, pools_sheets
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import format_bytes, format_plural, format_rate, format_ratio

_SPARKS = "▁▂▃▄▅▆▇█"
_UNUSABLE = ("external", "imbalance", "remainder", "reserved_blocks")
_SUMMARY = (
    Column("model", "left"),
    Column("engine", "left"),
    Column("block"),
    Column("most live"),
    Column("mean live"),
    Column("logical"),
    Column("wasted"),
    Column("unusable"),
    Column("preempted"),
    Column("rejected"),
    Column("hit rate"),
    Column("reserved over time", "left"),
)


def replay_sheets(document: Document) -> Sequence[Sheet]:
    """A row for each result; then every byte of the memory by name, results side by side."""
    results = [result for result in document.results if isinstance(result, ReplayResult)]
    if not results:
        return []
    return [
        _summary(results),
        *pools_sheets(results),
        *(sheet for alike in _by_model(results) for sheet in _bytes_sheets(alike, results)),
    ]


def _by_model(results: Sequence[ReplayResult]) -> Iterator[list[ReplayResult]]:
    for _, alike in groupby(results, key=lambda result: result.model):
        yield list(alike)


def _bytes_sheets(alike: Sequence[ReplayResult], results: Sequence[ReplayResult]) -> list[Sheet]:
    """Of one result both moments side by side; of several engines a table for each moment."""
    model = "" if len(alike) == len(results) else f": {alike[0].model.name}"
    if len(alike) == 1:
        (one,) = alike
        both: list[_Moment] = [
            ("at its fullest", one, _at_fullest(one)),
            ("on average", one, _on_average(one)),
        ]
        return [_bytes_sheet(f"The memory{model}", both)]
    fullest, mean = map(_at_fullest, alike), map(_on_average, alike)
    headings = [heading(result, alike) for result in alike]
    return [
        _bytes_sheet(
            f"The memory at its fullest{model}", list(zip(headings, alike, fullest, strict=True))
        ),
        _bytes_sheet(
            f"The memory on average over time{model}", list(zip(headings, alike, mean, strict=True))
        ),
    ]


def _summary(results: Sequence[ReplayResult]) -> Sheet:
    first = results[0]
    prefill = (
        "prompts are there at once"
        if first.prefill_tokens_per_s is None
        else f"{first.prefill_tokens_per_s:g} tokens/s of a prompt"
    )
    clocks = dict.fromkeys(map(_clock, results))
    notes = [
        *(f"Clock: {clock}" for clock in clocks),
        f"{prefill.capitalize()}; first come, first served; {first.preemption} when memory runs "
        "out.",
        *first.trace.notes,
    ]
    if first.series_file:
        notes.append(f"Time series: {first.series_file}")
    notes.append(
        "Logical, wasted, unusable: of the memory, on average over time. Unusable: free where what "
        "waits cannot use it, left over, or held back."
    )
    seconds = sum(result.seconds for result in results)
    notes.append(f"Replayed in {seconds:,.3g} s.")
    title = f"Replay of {first.trace.name}: {format_plural(first.requests.total, 'request')}"
    return Sheet(title, _SUMMARY, tuple(dict.fromkeys(map(_summary_row, results))), tuple(notes))


def _clock(result: ReplayResult) -> str:
    time = result.memory_time
    if time is None:
        return f"{result.decode_tokens_per_s:g} tokens/s of each running sequence."
    weights = "no weights"
    if time.weights_bytes is not None:
        read_at = format_rate(time.weights_bytes_per_s)
        weights = f"{format_bytes(time.weights_bytes)} of weights at {read_at}"
    source = "" if time.source == "given" else f" ({time.source})"
    return (
        f"of {result.model.name} a step takes the time of {weights}, and of what its sequences "
        f"read and write at {format_rate(time.bytes_per_s)}{source}."
    )


def _summary_row(result: ReplayResult) -> tuple[str, ...]:
    mean = result.mean
    wasted = sum(mean.waste.values())
    unusable = sum(mean.pool[name] for name in _UNUSABLE)
    shares = (mean.bytes.logical, wasted, unusable)
    return (
        result.model.name,
        result.engine,
        "-" if result.block_size is None else f"{result.block_size:,}",
        f"{result.most_live_sequences:,}",
        f"{mean.live_sequences:,.1f}",
        *(f"{size / result.capacity_bytes:.1%}" if size else "-" for size in shares),
        f"{result.requests.preemptions:,}" if result.requests.preemptions else "-",
        f"{result.requests.rejected:,}" if result.requests.rejected else "-",
        "-" if result.hit_rate is None else format_ratio(result.hit_rate),
        sparkline(result.utilisation),
    )


def sparkline(shares: Sequence[float]) -> str:
    """Shares of 1 as blocks of eight heights, the larger of two in each."""
    top = len(_SPARKS) - 1
    pairs = (max(shares[i : i + 2]) for i in range(0, len(shares), 2))
    return "".join(_SPARKS[max(0, min(top, round(share * top)))] for share in pairs)


def _at_fullest(result: ReplayResult) -> Mapping[str, float]:
    return _named(result.bytes.logical, result.waste, result.pool)


def _on_average(result: ReplayResult) -> Mapping[str, float]:
    return _named(result.mean.bytes.logical, result.mean.waste, result.mean.pool)


def _named(
    logical: float, waste: Mapping[str, float], pool: Mapping[str, float]
) -> Mapping[str, float]:
    """All that adds up to the capacity: what is reserved is logical and wastes."""
    shares = {name: pool[name] for name in POOL_SHARES if name != "reserved"}
    return {"logical": logical, **{name: waste[name] for name in REQUEST_WASTES}, **shares}


_Moment = tuple[str, ReplayResult, Mapping[str, float]]
"""A column: its heading, and the bytes of a result by name."""


def _bytes_sheet(title: str, moments: Sequence[_Moment]) -> Sheet:
    """A column for each; engines that take no block size give the same one for every size."""
    shown = list(
        {
            (heading, *named.values()): (heading, result, named)
            for heading, result, named in moments
        }.values()
    )
    rows = [
        (name, *(_share(named[name], result) for _, result, named in shown))
        for name in shown[0][2]
        if name == "logical" or any(named[name] for _, _, named in shown)
    ]
    rows.append(("capacity", *(format_bytes(result.capacity_bytes) for _, result, _ in shown)))
    columns = (Column("bytes", "left"), *(Column(heading) for heading, _, _ in shown))
    return Sheet(title, columns, tuple(rows))


def _share(size: float, result: ReplayResult) -> str:
    if size == 0:
        return "-"
    ratio = size / result.capacity_bytes
    return f"{'-' if size < 0 else ''}{format_bytes(abs(size))}  {ratio:6.1%}"
