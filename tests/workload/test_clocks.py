"""Clocks that start anew, within a file and from file to file, and what only looks like it."""

from __future__ import annotations

import random

import pytest

from kvprof.workload.trace import open_trace

from .rows import rows_of

HEADER = "arrival_s,prompt_tokens,output_tokens\n"
SECONDS = [float(second) for second in range(30)]


def plain(arrivals: list[float]) -> str:
    """Requests whose prompts tell their places in the file, from 1."""
    return HEADER + "".join(f"{at},{place},1\n" for place, at in enumerate(arrivals, 1))


def test_a_recording_behind_another_in_one_file_follows_it(write):
    second = [0.5 * at for at in SECONDS]
    with open_trace([write("t.csv", plain(SECONDS + second + SECONDS))]) as trace:
        # Each begins when the one before ends: at 29 s, and 14.5 s later.
        expected = SECONDS + [29 + at for at in second] + [43.5 + at for at in SECONDS]
        assert [row.arrival_s for row in rows_of(trace)] == expected
        assert [row.prompt for row in rows_of(trace)] == list(range(1, 91))
        assert trace.facts.out_of_order == 0
        # Line 1 is the header.
        assert "starts anew at line 32 (from 29 s to 0 s, and 1 time more)" in trace.notes[0]


def test_a_clock_that_starts_anew_may_be_left_as_it_is(write):
    with open_trace([write("t.csv", plain(SECONDS + SECONDS))], clocks="one") as trace:
        assert [row.arrival_s for row in rows_of(trace)] == sorted(SECONDS * 2)
        assert trace.facts.out_of_order == 1


def shuffled(count: int) -> list[float]:
    generator = random.Random(count)
    return [generator.uniform(0, 1000) for _ in range(count)]


@pytest.mark.parametrize(
    "arrivals",
    [
        [*SECONDS[:20], 1.0, *SECONDS[20:]],  # long, in a file in order of the ends
        [*SECONDS[:20], 0.0, 1.0, *SECONDS[20:]],
        SECONDS[::-1],
        [1_700_000_000 + at for at in SECONDS * 2],  # the time of day does not start anew
        shuffled(50),
        shuffled(400),
        shuffled(3000),
    ],
)
def test_rows_out_of_order_are_no_new_clock(write, arrivals):
    with open_trace([write("t.csv", plain(arrivals))]) as trace:
        found = [row.arrival_s for row in rows_of(trace)]
        assert found == pytest.approx([at - min(arrivals) for at in sorted(arrivals)])
        assert not any("starts anew at" in note for note in trace.notes)


def test_what_too_few_rows_tell_is_said_and_left(write):
    path = write("t.csv", plain([0, 10, 20, 0, 10, 20]))
    with open_trace([path]) as trace:
        assert rows_of(trace)[-1].arrival_s == 20
        assert "falls back at line 5 (from 20 s to 0 s), and too few rows tell" in trace.notes[0]
    with open_trace([path], clocks="each") as trace:
        assert [row.arrival_s for row in rows_of(trace)] == [0, 10, 20, 20, 30, 40]


def test_files_are_on_one_clock_unless_each_has_its_own(write):
    paths = [write("b.csv", plain([5, 15])), write("a.csv", plain([0, 10]))]
    with open_trace(paths) as trace:
        assert [row.arrival_s for row in rows_of(trace)] == [0, 5, 10, 15]
        assert "The times of the files overlap" in trace.notes[0]
    with open_trace(paths, clocks="one") as trace:
        assert trace.notes == ()
    with open_trace(paths, clocks="each") as trace:
        assert [row.arrival_s for row in rows_of(trace)] == [0, 10, 10, 20]
        assert "files are put behind each other, as they are given" in trace.notes[0]


def test_dates_can_be_put_behind_each_other_too(write):
    head = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    paths = [
        write("a.csv", head + "2024-05-10 00:00:00,1,1\n2024-05-10 00:00:07,2,1\n"),
        write("b.csv", head + "2023-11-16 18:17:03,3,1\n2023-11-16 18:17:04,4,1\n"),
    ]
    with open_trace(paths, clocks="each") as trace:
        assert [(row.arrival_s, row.prompt) for row in rows_of(trace)] == [
            (0, 1),
            (7, 2),
            (7, 3),
            (8, 4),
        ]
