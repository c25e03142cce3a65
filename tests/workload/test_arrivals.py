"""One clock from 0, in order of arrival, whatever the files were like."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvprof.errors import TraceError
from kvprof.workload.trace import open_trace

from .rows import rows_of

HEADER = "arrival_s,prompt_tokens,output_tokens\n"


def plain(*arrivals: float) -> str:
    """Requests whose prompts tell their places in the file, from 1."""
    return HEADER + "".join(f"{at},{place},1\n" for place, at in enumerate(arrivals, 1))


def test_rows_out_of_order_are_sorted_counted_and_reported(write):
    path = write("t.csv", plain(5, 9, 2, 7, 7, 2))
    with open_trace([path]) as trace:
        assert [(row.arrival_s, row.prompt) for row in rows_of(trace)] == [
            (0.0, 3),
            (0.0, 6),
            (3.0, 1),
            (5.0, 4),
            (5.0, 5),
            (7.0, 2),
        ]
        assert trace.facts.out_of_order == 2
        assert "2 rows, by at most 7 s" in trace.notes[0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=st.lists(st.integers(0, 5), min_size=1, max_size=40), rows=st.integers(1, 7))
def test_simultaneous_requests_keep_the_order_of_the_file(
    write: Callable[..., Path], arrivals: list[int], rows: int
) -> None:
    path = write("t.csv", plain(*arrivals))
    expected = sorted(range(1, len(arrivals) + 1), key=lambda place: arrivals[place - 1])
    with open_trace([path], clocks="one") as trace:
        assert [row.prompt for row in rows_of(trace, rows)] == expected


def test_several_files_are_one_trace_on_one_clock(write, read, tmp_path):
    first = write("part1.csv", plain(100, 110))
    last = write("part2.csv.gz", plain(120, 130))
    assert [row.arrival_s for row in read(last, first)] == [0.0, 10.0, 20.0, 30.0]
    assert read(tmp_path) == read(first, last) == read(first, last, first)


def test_a_header_that_is_repeated_is_no_row(write, read):
    assert len(read(write("t.csv", plain(1, 2) + plain(3)))) == 3


def test_rate_stretches_the_clock_and_duration_cuts_it(write):
    path = write("t.csv", plain(0, 1, 2, 4))
    # 3 gaps in 4 s are 0.75 requests/s; at 3 requests/s all is 4 times as fast.
    with open_trace([path], rate=3.0) as trace:
        assert [row.arrival_s for row in rows_of(trace)] == [0.0, 0.25, 0.5, 1.0]
    with open_trace([path], rate=3.0, duration_s=0.5) as trace:
        assert [row.arrival_s for row in rows_of(trace)] == [0.0, 0.25]
        assert trace.facts.left_out == 2
        assert trace.notes[-1] == "Left out: 2 requests after 0.5 s."


def test_a_trace_without_a_span_has_no_rate(write):
    with pytest.raises(TraceError, match="all requests arrive at once"):
        open_trace([write("t.csv", plain(4, 4))], rate=2.0)


def test_nanoseconds_survive_a_calendar_date(write, read):
    path = write(
        "t.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.979961,1,1\n2023-11-16 18:17:03.979960,1,1\n",
    )
    assert [row.arrival_s for row in read(path)] == [0.0, 1e-6]


def test_a_trace_larger_than_its_memory_is_sorted_on_disk(tmp_path):
    """40 MB of shuffled rows in 16 MiB: every row comes once, in order."""
    count = 1_000_000
    path = tmp_path / "t.parquet"
    duckdb.execute(
        "COPY (SELECT hash(i) / 1e12 AS arrival_s, 1 + i AS prompt_tokens, 3 AS output_tokens "
        f"FROM range({count}) t(i)) TO '{path}'"
    )
    with open_trace([path], memory_bytes=64 * 2**20) as trace:
        seen = np.zeros(count + 1, bool)
        last = 0.0
        for batch in trace.batches():
            assert np.all(np.diff(batch.arrival_s, prepend=last) >= 0)
            last = batch.arrival_s[-1]
            assert not seen[batch.prompt_tokens].any()
            seen[batch.prompt_tokens] = True
        assert seen[1:].all()


RESIDENT = """
import resource, sys
from pathlib import Path
from kvprof.workload.trace import open_trace
with open_trace([Path(sys.argv[1])], memory_bytes=128 * 2**20) as trace:
    rows = sum(len(batch) for batch in trace.batches())
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_is_bounded_whatever_the_file(tmp_path):
    """A fifth of benchmarks/traces.py, in the shape of Azure's week, shuffled: 80 MB."""
    path = tmp_path / "week.csv"
    duckdb.execute(
        "COPY (SELECT strftime(make_timestamp(1715299200000000 + (hash(i) % 600000000000)::BIGINT),"
        " '%Y-%m-%d %H:%M:%S.%f+00:00') AS \"TIMESTAMP\", 1 + i % 9999 AS ContextTokens, "
        f"i % 777 AS GeneratedTokens FROM range(2000000) t(i)) TO '{path}' (HEADER)"
    )
    words = [sys.executable, "-c", RESIDENT, str(path)]
    # Nothing else may be on stdout: DuckDB would show a bar there.
    rows, resident = map(int, subprocess.check_output(words, text=True).split())
    assert rows == 2_000_000
    # Of 128 MiB for DuckDB's tables; the rest are the libraries and what DuckDB does not count.
    assert resident < 700 * 2**20


def test_a_rate_at_which_nothing_would_ever_arrive(write):
    path = write(
        "t.csv", "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n1,2,3,1\n"
    )
    with pytest.raises(TraceError, match=r"at 1e-12 a second .* more than 4e\+09 s"):
        open_trace([path], rate=1e-12)
