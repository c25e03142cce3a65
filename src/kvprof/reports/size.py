"""Size results in, the tables of `kvprof size` out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from kvprof.accounting import wasted_ratio
from kvprof.config import shown
from kvprof.document import Document
from kvprof.reports.balance import balance_sheet
from kvprof.reports.contexts import contexts_sheets
from kvprof.reports.sheet import Column, Sheet
from kvprof.result import LogCheck, PlanGroupFacts, SizeResult
from kvprof.units import format_bytes, format_ranges, format_ratio, format_tokens


def size_sheets(document: Document) -> Sequence[Sheet]:
    """What each model keeps per token and per sequence, then the totals of each point asked for."""
    results = [result for result in document.results if isinstance(result, SizeResult)]
    sheets = [_models_sheet(results), _totals_sheet(results), *contexts_sheets(results)]
    if any(result.plan for result in results):
        sheets.append(_plans_sheet(results))
    sheets += [_log_sheet(result.log) for result in results if result.log]
    if any(cache.explain for result in results for cache in result.caches):
        sheets.append(_explain_sheet(results))
    return [*sheets, *_balance_sheets(results), *_reasons_sheets(results)]


def _log_sheet(log: LogCheck) -> Sheet:
    """Each figure as predicted and as logged, and one sentence on all of them."""
    columns = (Column("figure", "left"), Column("predicted"), Column("logged"), Column("agrees"))
    rows = tuple(
        (figure.name, figure.predicted, figure.actual, "yes" if figure.agrees else "NO")
        for figure in log.figures
    )
    differing = [figure.name for figure in log.figures if not figure.agrees]
    stated = (
        f"{len(differing)} of {len(rows)} figures differ: {', '.join(differing)}"
        if differing
        else f"all {len(rows)} figures agree"
    )
    engine = f"vLLM {log.engine_version}" if log.engine_version else "vLLM"
    return Sheet(f"Against {log.path}, a log of {engine}", columns, rows, (stated,))


def _models_sheet(results: Sequence[SizeResult]) -> Sheet:
    columns = (
        Column("model", "left"),
        Column("family", "left"),
        Column("per token"),
        Column("growing"),
        Column("window"),
        Column("state"),
    )
    rows = dict.fromkeys(
        (
            result.model.name,
            result.model.architecture,
            _or_dash(result.bytes.per_token),
            _or_dash(result.bytes.growing_per_token),
            _or_dash(result.bytes.window),
            _or_dash(result.bytes.fixed_per_sequence),
        )
        for result in results
    )
    notes = dict.fromkeys(_model_note(result) for result in results)
    return Sheet("What the architecture keeps, per sequence", columns, tuple(rows), tuple(notes))


def _model_note(result: SizeResult) -> str:
    """Which caches, in which dtypes, and by whom they were read where that was a guess."""
    dtypes = [result.cache_dtype] if result.bytes.per_token else []
    dtypes += [f"state {result.state_dtype}"] if result.bytes.fixed_per_sequence else []
    caches = ", ".join(f"{len(c.layers)} x {c.name} {c.keep}" for c in result.caches)
    inferred = (
        f"; inferred from {', '.join(result.model.inferred_from) or 'its fields'}, since no plugin "
        "claims its model type"
        if result.model.inferred
        else ""
    )
    return f"{result.model.name}: {caches}; {', '.join(dtypes)}{inferred}"


def _totals_sheet(results: Sequence[SizeResult]) -> Sheet:
    names = [name for name in results[0].waste if any(r.waste.get(name) for r in results)]
    blocks = any(result.block_size for result in results)
    columns = (
        Column("model", "left"),
        Column("engine", "left"),
        *((Column("block"),) if blocks else ()),
        Column("tokens"),
        Column("sequences"),
        Column("logical"),
        Column("reserved"),
        *(Column(name) for name in names),
        Column("wasted"),
    )
    rows = tuple(
        (
            result.model.name,
            result.engine,
            *((_block(result),) if blocks else ()),
            format_tokens(result.tokens),
            f"{result.sequences:,}",
            format_bytes(result.bytes.logical),
            format_bytes(result.bytes.reserved),
            *(_or_dash(result.waste[name]) for name in names),
            format_ratio(wasted_ratio(result.bytes.logical, result.bytes.reserved)),
        )
        for result in results
    )
    return Sheet("Bytes of all sequences: reserved = logical + wastes", columns, rows)


def _block(result: SizeResult) -> str:
    """The block size of the groups that keep all their tokens, of which there may be others."""
    groups = result.plan.groups if result.plan else ()
    growing = [group.block_size for group in groups if group.keep == "All"]
    return str(max(growing, default=result.block_size) or "-")


def _plans_sheet(results: Sequence[SizeResult]) -> Sheet:
    """Groups of each plan, those that are alike on one line."""
    seen: dict[tuple[str, ...], int] = {}
    for result in results:
        if result.plan is not None:
            seen |= Counter(_group_cells(result, group) for group in result.plan.groups)
    groups = any(count > 1 for count in seen.values())
    phantoms = any(cells[_PHANTOMS] not in ("0", "-") for cells in seen)
    columns = (
        Column("model", "left"),
        Column("engine", "left"),
        Column("group", "left"),
        *((Column("groups"),) if groups else ()),
        Column("layers"),
        *((Column("phantoms"),) if phantoms else ()),
        Column("block"),
        Column("page"),
        Column("blocks/sequence"),
        Column("fits"),
    )
    rows = tuple(
        (
            *cells[:3],
            *((str(count),) if groups else ()),
            cells[3],
            *((cells[_PHANTOMS],) if phantoms else ()),
            *cells[_PHANTOMS + 1 :],
        )
        for cells, count in seen.items()
    )
    return Sheet(
        "Plans: the most that a sequence of --max-model-len (else --tokens) ever holds",
        columns,
        rows,
    )


_PHANTOMS = 4
"""Where `_group_cells` has the padding layers."""


def _group_cells(result: SizeResult, group: PlanGroupFacts) -> tuple[str, ...]:
    return (
        result.model.name,
        result.engine,
        group.keep,
        str(len(group.layers)),
        "-" if group.padding_layers is None else str(group.padding_layers),
        format_tokens(group.block_size),
        format_bytes(group.page_bytes),
        f"{group.blocks_per_sequence:,}",
        _fits(result),
    )


def _explain_sheet(results: Sequence[SizeResult]) -> Sheet:
    columns = (
        Column("model", "left"),
        Column("cache", "left"),
        Column("layers", "left"),
        Column("one entry", "left", wraps=True),
        Column("fields that led to it", "left", wraps=True),
    )
    rows = dict.fromkeys(
        (
            result.model.name,
            f"{cache.name} {cache.keep}",
            format_ranges(cache.layers),
            ", ".join(f"{t.name} {list(t.shape)} {t.dtype}" for t in cache.tensors),
            ", ".join(
                f"{read.field}={shown(read.value)}{' (class default)' if read.default else ''}"
                for read in cache.explain or ()
            ),
        )
        for result in results
        for cache in result.caches
    )
    return Sheet("What each cache was read from", columns, tuple(rows))


def _balance_sheets(results: Sequence[SizeResult]) -> Iterator[Sheet]:
    """One sheet for each plan, with the points of all results that share it."""
    plans: dict[Hashable, list[SizeResult]] = {}
    for result in results:
        if result.balance:
            plans.setdefault((result.model, result.engine, result.plan), []).append(result)
    for sharing in plans.values():
        first = sharing[0]
        pools = f"{first.model.name}, engine {first.engine}, blocks of {_block(first)}"
        points = {(p.tokens, p.sequences): p for result in sharing for p in result.balance}
        yield balance_sheet(pools, [points[key] for key in sorted(points)])


def _reasons_sheets(results: Sequence[SizeResult]) -> Iterator[Sheet]:
    """Sentences under a title; each once, though many points share a plan."""
    notes = dict.fromkeys(
        f"{result.model.name}, {result.engine}: {reason.text}"
        for result in results
        for reason in result.reasons
    )
    if notes:
        yield Sheet("Why", notes=tuple(notes))


def _fits(result: SizeResult) -> str:
    concurrency = result.plan.max_concurrency if result.plan else None
    return "-" if concurrency is None else f"{concurrency:,.2f} sequences"


def _or_dash(count: float) -> str:
    return format_bytes(count) if count else "-"
