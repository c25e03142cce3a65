"""Results of `kvprof replay` in, their tables out: what happened, and where the bytes were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvprof.document import Document
from kvprof.plan import POOL_SHARES, REQUEST_WASTES
from kvprof.replay_result import ReplayResult
from kvprof.reports.sheet import Column, Sheet
from kvprof.units import format_bytes, format_plural, format_rate, format_ratio

_SPARKS = "▁▂▃▄▅▆▇█"
_SUMMARY = (
    Column("model", "left"),
    Column("engine", "left"),
    Column("block"),
    Column("completed"),
    Column("rejected"),
    Column("preempted"),
    Column("most live"),
    Column("mean live"),
    Column("hit rate"),
    Column("reserved over time", "left"),
)


def replay_sheets(document: Document) -> Sequence[Sheet]:
    """A row for each result; then every byte of the memory by name, results side by side."""
    results = [result for result in document.results if isinstance(result, ReplayResult)]
    if not results:
        return []
    fullest = [_at_fullest(result) for result in results]
    mean = [_on_average(result) for result in results]
    return [
        _summary(results),
        _bytes_sheet("The memory at its fullest", results, fullest),
        _bytes_sheet("The memory on average over time", results, mean),
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
    seconds = sum(result.seconds for result in results)
    notes.append(f"Replayed in {seconds:,.3g} s.")
    title = f"Replay of {first.trace.name}: {format_plural(first.requests.total, 'request')}"
    return Sheet(title, _SUMMARY, tuple(map(_summary_row, results)), tuple(notes))


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
    return (
        result.model.name,
        result.engine,
        "-" if result.block_size is None else f"{result.block_size:,}",
        f"{result.requests.completed:,}",
        f"{result.requests.rejected:,}",
        f"{result.requests.preemptions:,}",
        f"{result.most_live_sequences:,}",
        f"{result.mean.live_sequences:,.1f}",
        "-" if result.hit_rate is None else format_ratio(result.hit_rate),
        sparkline(result.utilisation),
    )


def sparkline(shares: Sequence[float]) -> str:
    """Shares of 1 as blocks of eight heights."""
    top = len(_SPARKS) - 1
    return "".join(_SPARKS[max(0, min(top, round(share * top)))] for share in shares)


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


def _bytes_sheet(
    title: str, results: Sequence[ReplayResult], named: Sequence[Mapping[str, float]]
) -> Sheet:
    headings = [_heading(result, results) for result in results]
    columns = (Column("bytes", "left"), *(Column(heading) for heading in headings))
    rows = [
        (name, *(_share(each[name], r) for each, r in zip(named, results, strict=True)))
        for name in named[0]
        if name == "logical" or any(each[name] for each in named)
    ]
    rows.append(("capacity", *(format_bytes(result.capacity_bytes) for result in results)))
    return Sheet(title, columns, tuple(rows))


def _heading(result: ReplayResult, results: Sequence[ReplayResult]) -> str:
    parts = [result.engine]
    if len({each.block_size for each in results if each.engine == result.engine}) > 1:
        parts.append(str(result.block_size))
    if len({each.model.name for each in results}) > 1:
        parts.insert(0, result.model.name)
    return " ".join(parts)


def _share(size: float, result: ReplayResult) -> str:
    if size == 0:
        return "-"
    ratio = size / result.capacity_bytes
    return f"{'-' if size < 0 else ''}{format_bytes(abs(size))}  {ratio:6.1%}"
