"""A trace in, what it is in figures out; all of them exact, and counted out of core."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from kvprof.trace_row import LengthFacts, TraceRow
from kvprof.workload.database import Database, explained
from kvprof.workload.trace import Trace


def summarise(trace: Trace) -> TraceRow:
    """Count a trace's requests, lengths, sessions and prefix reuse."""
    database, facts = trace.database, trace.facts
    with explained(trace.name):
        (span_s,) = database.row("SELECT coalesce(max(arrival_s), 0) FROM requests")
        (sessions,) = database.row("SELECT count(DISTINCT session) FROM requests")
        prompts = _lengths(database, "prompt_tokens")
        reuse = _reuse(database) if facts.block_tokens else _Reuse(None, None, None)
        cached, of = database.row(
            "SELECT sum(cached_tokens), sum(prompt_tokens) FROM requests "
            "WHERE cached_tokens IS NOT NULL"
        )
        outputs = _lengths(database, "output_tokens")
    return TraceRow(
        path=trace.name,
        format=facts.format,
        files=facts.files,
        requests=facts.requests,
        failed=facts.failed,
        bad_rows=facts.bad_rows,
        out_of_order=facts.out_of_order,
        span_s=span_s,
        requests_per_s=(facts.requests - 1) / span_s if span_s else None,
        prompt_tokens=prompts,
        output_tokens=outputs,
        sessions=sessions or None,
        block_tokens=facts.block_tokens,
        blocks=reuse.blocks,
        block_reuse_ratio=reuse.seen_ratio,
        prefix_reuse_ratio=reuse.leading_ratio,
        cached_ratio=cached / of if of else None,
        notes=facts.notes,
    )


def _lengths(database: Database, column: str) -> LengthFacts:
    """Percentiles from how often each length occurs: there are few lengths, however many rows."""
    found = database.arrays(
        f"SELECT {column} AS tokens, count(*) AS times FROM requests GROUP BY 1 ORDER BY 1"
    )
    tokens, upto = found["tokens"], np.cumsum(found["times"])
    count = int(upto[-1])
    total = int(np.dot(tokens.astype(object), found["times"].astype(object)))

    def percentile(percent: int) -> int:
        return int(tokens[np.searchsorted(upto, -(-count * percent // 100))])

    return LengthFacts(total / count, percentile(50), percentile(95), int(tokens[-1]), total)


class _Reuse(Struct, frozen=True):
    """References to prefix blocks, and the shares of them that were seen before."""

    blocks: int | None
    seen_ratio: float | None
    leading_ratio: float | None


def _reuse(database: Database) -> _Reuse:
    blocks, distinct = database.row(
        "SELECT count(*), count(DISTINCT hash) FROM (SELECT unnest(hashes) AS hash FROM requests)"
    )
    if not blocks:
        return _Reuse(0, None, None)
    # A request's leading blocks end where the first one is that no earlier request had.
    (leading,) = database.row("""
        WITH refs AS (
            SELECT rowid AS place, unnest(hashes) AS hash, generate_subscripts(hashes, 1) AS ordinal
            FROM requests),
        firsts AS (SELECT hash, min(place) AS place FROM refs GROUP BY hash),
        fresh AS (SELECT place, min(ordinal) - 1 AS before FROM refs SEMI JOIN firsts
                  USING (hash, place) GROUP BY place)
        SELECT sum(coalesce(before, len(hashes)))
        FROM requests LEFT JOIN fresh ON requests.rowid = place""")
    return _Reuse(blocks, (blocks - distinct) / blocks, int(leading) / blocks)
