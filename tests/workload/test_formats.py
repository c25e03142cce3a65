"""Each format's meaning, from samples small enough to be worked out by hand."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from kvprof.workload.formats import FORMATS
from kvprof.workload.trace import open_trace

from .rows import Row, rows_of

NONE = -1


def lines(*objects: object) -> str:
    return "".join(json.dumps(item) + "\n" for item in objects)


def test_mooncake_counts_milliseconds_and_blocks_of_512(write, read):
    path = write(
        "trace.jsonl",
        lines(
            {"timestamp": 27482, "input_length": 513, "output_length": 5, "hash_ids": [0, 1]},
            {"timestamp": 30535, "input_length": 512, "output_length": 0, "hash_ids": [0]},
        ),
    )
    assert read(path) == [Row(0.0, 513, 5, NONE, (0, 1)), Row(3.053, 512, 0, NONE, (0,))]


def test_azure_2023_has_seven_digits_and_crlf_and_no_last_newline(write, read):
    path = write(
        "code.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
        "2023-11-16 23:59:59.9799600,4808,10\r\n"
        "2023-11-17 00:00:00.0319600,3180,8",
    )
    assert read(path) == [Row(0.0, 4808, 10, NONE, ()), Row(0.052, 3180, 8, NONE, ())]


def test_azure_2024_has_zones_and_times_without_a_fraction(write, read):
    path = write(
        "week.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2024-05-10 00:00:00.500000+00:00,2162,5\n"
        "2024-05-10 02:00:02+02:00,7,8\n",
    )
    assert read(path) == [Row(0.0, 2162, 5, NONE, ()), Row(1.5, 7, 8, NONE, ())]


def test_vidur(write, read):
    path = write("v.csv", "arrived_at,num_prefill_tokens,num_decode_tokens\n0.25,10,2\n1.0,20,3\n")
    assert read(path) == [Row(0.0, 10, 2, NONE, ()), Row(0.75, 20, 3, NONE, ())]


def test_lengths_get_a_poisson_process_that_the_seed_decides(write, read):
    path = write(
        "stats.csv",
        "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n"
        + "3772,54,3826,69.8\n" * 4000,
    )
    rows = read(path, rate=4.0)
    assert {row[1:] for row in rows} == {(3772, 54, NONE, ())}
    gaps = [b.arrival_s - a.arrival_s for a, b in itertools.pairwise(rows)]
    # Of 3,999 exponential gaps the mean, and the share above it (1 / e), are known to 5 %.
    assert sum(gaps) / len(gaps) == pytest.approx(0.25, rel=0.05)
    assert sum(gap > 0.25 for gap in gaps) / len(gaps) == pytest.approx(1 / math.e, rel=0.1)
    assert read(path, rate=4.0) == rows
    assert read(path, rate=4.0, seed=1) != rows
    with open_trace([path]) as trace:
        assert "Poisson" in trace.notes[0]
        assert "1 a second" in trace.notes[0]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type",
            [
                "5,ChatGPT,472,18,490,Conversation log",
                "45,ChatGPT,7,0,7,API log",
                "46,GPT-4,0,0,0,API log",
                "50,GPT-4,9,4,13,API log",
            ],
        ),
        (
            "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,"
            "Log Type",
            [
                "5.0,u-1,43,ChatGPT,472,18,490,Conversation log",
                "45.0,u-1,1,ChatGPT,7,0,7,API log",
                "46.0,,2,GPT-4,0,0,0,API log",
                "50.0,,2,GPT-4,9,4,13,API log",
            ],
        ),
    ],
)
def test_burstgpt_is_read_by_name_and_failures_have_no_response(write, header, rows):
    path = write("burst.csv", "\n".join([header, *rows]))
    with open_trace([path]) as trace:
        found = rows_of(trace)
        assert trace.facts.failed == 2
        assert trace.facts.bad_rows == {}
    session = 0 if "Session" in header else NONE
    assert found == [Row(0.0, 472, 18, session, ()), Row(45.0, 9, 4, NONE, ())]


RAGPULSE = lines(
    {
        "timestamp": "82",
        "input_length": 52,
        "output_length": 9,
        "hash_ids": {
            "sys_prompt": [1],
            "passages_ids": [2],
            "history": [],
            "web_search": [],
            "user_input": [3],
        },
        "session_id": "a",
    },
    {
        "timestamp": "83",
        "input_length": 70,
        "output_length": 9,
        "hash_ids": {
            "sys_prompt": [1],
            "passages_ids": [4],
            "history": [2],
            "web_search": [],
            "user_input": [],
        },
        "session_id": "a",
    },
)


def test_ragpulse_makes_prefix_hashes_from_chunks_of_their_lengths(write, read):
    path = write("0_trace.jsonl", RAGPULSE)
    write("1_sys_prompt.jsonl", lines({"sys_prompt_id": 1, "token_length": 20}))
    write(
        "2_passages.jsonl",
        lines({"passage_id": 2, "token_length": 20}, {"passage_id": 4, "token_length": 20}),
    )
    write("4_user_input.jsonl", lines({"user_input_id": 3, "token_length": 6}))
    first, second = read(path)
    # 20 + 20 + 6 = 46 and 20 + 20 + 20 = 60 tokens of chunks are 2 and 3 full blocks of 16; what
    # the prompts hold beside chunks has no hash. Block 0 lies in chunk 1. Block 1 ends in the
    # second chunk, which differs: 4 is not 2, and where 2 comes later it has another prefix.
    assert (len(first.hashes), len(second.hashes)) == (2, 3)
    assert first.hashes[0] == second.hashes[0]
    assert len({*first.hashes, *second.hashes}) == 4
    assert (second.arrival_s, first.session, second.session) == (1.0, 0, 0)


def test_ragpulse_as_a_folder_reads_the_same(write, read, tmp_path):
    path = write("0_trace.jsonl", RAGPULSE)
    write("1_sys_prompt.jsonl", lines({"sys_prompt_id": 1, "token_length": 20}))
    write(
        "2_passages.jsonl",
        lines(*({"passage_id": n, "token_length": size} for n, size in ((2, 20), (3, 6), (4, 20)))),
    )
    assert read(tmp_path) == read(path)


def test_ragpulse_alone_takes_chunks_of_512_and_says_so(write):
    path = write("0_trace.jsonl", RAGPULSE)
    with open_trace([path]) as trace:
        # 512 tokens are more than the prompts: chunk 1 covers their 3 and 4 full blocks.
        first, second = rows_of(trace)
        assert (len(first.hashes), len(second.hashes)) == (3, 4)
        assert first.hashes == second.hashes[:3]
        assert any("512 tokens are taken" in note for note in trace.notes)


WEKA = {
    "block_size": 64,
    "hash_id_scope": "local",
    "requests": [
        {"t": 0.0, "type": "n", "in": 130, "out": 7, "hash_ids": [1, 2]},
        {
            "t": 10.0,
            "agent_id": "agent_001",
            "requests": [{"t": 0.5, "type": "n", "in": 64, "out": 3, "hash_ids": [9]}],
        },
        {"t": 10.25, "type": "s", "in": 191, "out": 0, "hash_ids": [1, 2]},
    ],
}


@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "many lines"])
def test_weka_sessions_have_their_own_clocks_and_hashes(write, read, tmp_path, indent):
    for name in ("a", "b"):
        write(f"{name}.json.gz", json.dumps(WEKA | {"id": name}, indent=indent))
    rows = read(tmp_path)
    by_session: dict[int, list[Row]] = {}
    for row in rows:
        by_session.setdefault(row.session, []).append(row)
    # Two sessions, each with a sub-agent whose times count from its own start at 10 s.
    assert sorted(len(turns) for turns in by_session.values()) == [1, 1, 2, 2]
    mains = [turns for turns in by_session.values() if len(turns) == 2]
    for first, last in mains:
        assert last.arrival_s - first.arrival_s == pytest.approx(10.25)
        assert last.hashes == first.hashes
        agent = next(
            t
            for (t,) in (v for v in by_session.values() if len(v) == 1)
            if abs(t.arrival_s - first.arrival_s - 10.5) < 1e-6
        )
        assert (agent.prompt, len(agent.hashes)) == (64, 1)
    assert not set(mains[0][0].hashes) & set(mains[1][0].hashes)


def dynamo(event: str, ended_ms: int, **request: object) -> dict[str, object]:
    return {
        "timestamp": ended_ms,
        "event": {"schema": "dynamo.request.trace.v1", "event_type": event}
        | ({"agent_context": {"session_id": "s"}, "request": request} if request else {}),
    }


def test_dynamo_arrivals_are_not_ends_and_hashes_are_unsigned(write):
    top = 2**64 - 1
    replay = {"trace_block_size": 16, "input_length": 17, "input_sequence_hashes": [top, 2**63]}
    one = {"input_tokens": 17, "output_tokens": 2, "cached_tokens": 16}
    path = write(
        "d.jsonl",
        lines(
            dynamo("request_end", 900, request_received_ms=1779163080500, replay=replay, **one),
            dynamo("tool_start", 950),
            dynamo("request_end", 990, request_received_ms=1779163080006, replay=replay, **one),
        ),
    )
    with open_trace([path]) as trace:
        assert rows_of(trace) == [
            Row(0.0, 17, 2, 0, (top, 2**63)),
            Row(0.494, 17, 2, 0, (top, 2**63)),
        ]
        assert (trace.facts.out_of_order, trace.block_tokens) == (1, 16)


def test_tracelab_rounds_arrive_with_their_last_input(write, read):
    def event(kind: str, second: int) -> dict[str, str]:
        return {"event_type": kind, "timestamp": f"2026-06-01T05:40:{second:02}.500Z"}

    def turn(index: int, *events: dict[str, str]) -> dict[str, object]:
        return {
            "session_id": "claude:1",
            "round_index": index,
            "input_tokens_total": 100,
            "prefix_tokens": 40,
            "output_tokens": 5,
            "timing_events": events,
        }

    path = write(
        "rounds.jsonl",
        lines(
            turn(0, event("user_message", 10), event("text", 20)),
            turn(1, event("tool_result", 21), event("tool_result", 25), event("text", 30)),
        ),
    )
    assert read(path) == [Row(0.0, 100, 5, 0, ()), Row(15.0, 100, 5, 0, ())]


def test_llmservingsim_requests_and_sessions(write, read):
    path = write(
        "sim.jsonl",
        lines(
            {"input_toks": 5, "output_toks": 6, "arrival_time_ns": 1_000_000_000},
            {
                "session_id": "s0",
                "arrival_time_ns": 2_000_000_000,
                "sub_requests": [
                    {"input_toks": 7, "output_toks": 8, "tool_duration_ns": 500_000_000},
                    {"input_toks": 9, "output_toks": 1, "tool_duration_ns": 0},
                ],
            },
        ),
    )
    assert read(path) == [
        Row(0.0, 5, 6, NONE, ()),
        Row(1.0, 7, 8, 0, ()),
        Row(1.5, 9, 1, 0, ()),
    ]


def test_bailian_sessions_are_chains_of_turns(write, read):
    def turn(chat: int, parent: int, at: float) -> dict[str, object]:
        return {
            "chat_id": chat,
            "parent_chat_id": parent,
            "timestamp": at,
            "input_length": 17,
            "output_length": 3,
            "type": "text",
            "turn": 1,
            "hash_ids": [chat, 2**64 - 1],
        }

    path = write(
        "b.jsonl", lines(turn(0, -1, 0.0), turn(1, -1, 1.0), turn(2, 0, 2.5), turn(3, 2, 3.0))
    )
    rows = read(path)
    assert [row.session for row in rows] == [0, 1, 0, 0]
    assert [row.arrival_s for row in rows] == [0.0, 1.0, 2.5, 3.0]
    assert rows[2].hashes == (2, 2**64 - 1)


@pytest.fixture
def servegen(write):
    """A client that is idle for a window and then asks 0.5 times a second, of two lengths."""
    windows = [(0, 0, 0, "", 0, 0)] + [(600 * i, 0.5, 1.2, "Gamma", 0.7, 3.0) for i in range(1, 9)]
    path = write(
        "chunk-3-trace.csv", "".join(",".join(map(str, window)) + "\n" for window in windows)
    )
    lengths = {"input_tokens": "{10: 0.25, 30: 0.75}", "output_tokens": "{7: 1.0}"}
    empty = {"input_tokens": "{}", "output_tokens": "{}"}
    write("chunk-3-dataset.json", json.dumps({"0": lengths, "3000": empty}, indent=1))
    return path


def test_servegen_draws_an_hour_from_the_first_busy_window(servegen, read):
    rows = read(servegen)
    # 6 windows of 300 requests; the gaps fill their window, so that its last one is its end.
    assert len(rows) in range(6 * 299, 6 * 300 + 1)
    assert rows[-1].arrival_s <= 3600.0
    per_window = [sum(600 * i <= r.arrival_s < 600 * (i + 1) for r in rows) for i in range(6)]
    # The first request is at 0, a few gaps of 2 s after its window began.
    assert all(abs(count - 300) <= 12 for count in per_window)
    assert {row.output for row in rows} == {7}
    share = sum(row.prompt == 10 for row in rows) / len(rows)
    assert share == pytest.approx(0.25, abs=0.04)  # 4 standard errors of 1,800 draws
    assert {row.prompt for row in rows} == {10, 30}
    assert read(servegen) == rows
    assert read(servegen, seed=5) != rows


def test_servegen_takes_duration_and_rate(servegen, read):
    assert len(read(servegen, duration_s=600.0)) in (299, 300)
    assert len(read(servegen, duration_s=1200.0, rate=2.0)) in range(2398, 2401)


PLAIN = [
    (0.5, 33, 4, "x", [7, 2**64 - 1, 9]),
    (0.25, 16, 1, "", [7]),
    (1.0, 5, 0, "y, z", []),
]
CANONICAL = [
    Row(0.0, 16, 1, NONE, (7,)),
    Row(0.25, 33, 4, 0, (7, 2**64 - 1, 9)),
    Row(0.75, 5, 0, 1, ()),
]
NAMES = ("arrival_s", "prompt_tokens", "output_tokens", "session_id", "prefix_hashes")


@pytest.mark.parametrize("hashes", [str, lambda h: " ".join(map(str, h)), lambda h: f"{h}"[1:-1]])
def test_plain_csv_with_lists_in_cells(write, read, hashes):
    rows = "".join(f'{t},{p},{o},"{s}","{hashes(h)}"\n' for t, p, o, s, h in PLAIN)
    assert read(write("plain.csv", ",".join(NAMES) + "\n" + rows)) == CANONICAL


def test_plain_jsonl_and_parquet(write, read, tmp_path):
    import duckdb  # noqa: PLC0415

    objects = [dict(zip(NAMES, row, strict=True)) for row in PLAIN]
    path = write("plain.jsonl", lines(*objects))
    assert read(path) == CANONICAL
    parquet = tmp_path / "plain.parquet"
    values = ", ".join(f"({t}, {p}, {o}, '{s}', {h}::UBIGINT[])" for t, p, o, s, h in PLAIN)
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {values}) t({', '.join(NAMES)})) TO '{parquet}'")
    assert read(parquet) == CANONICAL


def test_plain_without_what_is_optional(write, read):
    path = write("plain.csv", "output_tokens,arrival_s,prompt_tokens\n1,3,2\n")
    assert read(path) == [Row(0.0, 2, 1, NONE, ())]


def test_every_format_says_what_it_is():
    assert len(FORMATS) == 13
    assert all(format_.summary for format_ in FORMATS.values())
