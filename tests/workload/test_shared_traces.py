"""Published traces against their README's figures, and against a reading that knows no DuckDB."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvprof.trace_row import LengthFacts, TraceRow
from kvprof.workload.batch import Batch
from kvprof.workload.summary import summarise
from kvprof.workload.trace import open_trace

TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"

pytestmark = pytest.mark.skipif(
    not TRACES.is_dir(), reason="the shared data is not beside the project"
)

CONVERSATION = "mooncake_conversation.rows1-6000.jsonl.gz"
ARXIV = "mooncake_arxiv_first1000_dynamo.jsonl.gz"
AZURE = "AzureLLMInferenceTrace_code.2023.csv.gz"
VIDUR = "vidur_splitwise_code.csv.gz"
LENGTHS = "vidur_arxiv_summarization_stats.csv.gz"
BURST1 = "BurstGPT_1.rows1-200.csv.gz"
BURST3 = "BurstGPT_3.rows1-70.csv.gz"
RAGPULSE = "ragpulse_0_trace.rows1-3500.jsonl.gz"
DYNAMO = "dynamo_pi_request_trace.rows1-40.jsonl.gz"
TRACELAB = "tracelab_example_sanitized_round_trace.jsonl.gz"
LLMSERVINGSIM = "llmservingsim_workload_me2_01_mixed.SYNTHETIC.jsonl.gz"

# Format, rows, span in s (None where the README has none or means another clock), prompt and
# output lengths as mean/p50/p95/max.
README: dict[str, tuple[str, int, float | None, str, str]] = {
    CONVERSATION: ("mooncake", 6000, 1872, "12774/7593/41237/123192", "347/356/708/2000"),
    ARXIV: ("mooncake", 1000, 177, "9792/6557/27288/121290", "199/34/610/2000"),
    AZURE: ("azure", 8819, 3436, "2048/1469/7315/7437", "28/13/90/1899"),
    VIDUR: ("vidur", 8819, 3436, "2048/1469/7315/7437", "28/13/90/1899"),
    LENGTHS: ("lengths", 28257, None, "2588/2730/3813/4054", "291/167/737/4056"),
    BURST3: ("burstgpt", 70, 20744, "700/291/1779/5866", "235/141/787/879"),
    RAGPULSE: ("ragpulse", 3500, 547860, "3046/3172/4357/6467", "255/200/612/1843"),
    "weka": ("weka", 4029, None, "112930/101989/252597/755680", "399/229/1242/15390"),
    DYNAMO: ("dynamo", 9, None, "2519/2087/5688/5688", "442/389/784/784"),
    TRACELAB: ("tracelab", 19, None, "27053/32272/48305/48305", "597/273/2475/2475"),
    LLMSERVINGSIM: ("llmservingsim", 608, 60.9, "9218/2909/26499/31383", "3021/872/13086/15890"),
}


def summary(name: str) -> TraceRow:
    with open_trace([TRACES / name]) as trace:
        return summarise(trace)


def shown(lengths: LengthFacts) -> str:
    return f"{lengths.mean:.0f}/{lengths.p50}/{lengths.p95}/{lengths.max}"


def whole(name: str) -> Batch:
    """All requests of a trace without hashes, in one batch."""
    with open_trace([TRACES / name]) as trace:
        (batch,) = trace.batches()
        return batch


def objects(name: str) -> Iterator[Any]:
    with gzip.open(TRACES / name, "rt", encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def cells(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(TRACES / name, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


@pytest.mark.parametrize("name", README)
def test_figures_of_the_readme(name):
    format_, rows, span, prompt, output = README[name]
    row = summary(name)
    assert (row.format, row.requests, row.failed) == (format_, rows, 0)
    assert (shown(row.prompt_tokens), shown(row.output_tokens)) == (prompt, output)
    assert (row.bad_rows, row.files) == ({}, 57 if name == "weka" else 1)
    if span is not None:
        assert row.span_s == pytest.approx(span, abs=0.5)


def test_failures_of_burstgpt():
    """The README's lengths are over all 200 rows: the 9 that failed have 0 tokens, 191 are here."""
    row = summary(BURST1)
    assert (row.requests, row.failed, row.span_s) == (191, 9, 33779.0)
    assert (round(row.prompt_tokens.total / 200), row.prompt_tokens.max) == (594, 1960)
    assert (round(row.output_tokens.total / 200), row.output_tokens.max) == (291, 1903)
    assert summary(BURST3).sessions == len({r["Session ID"] for r in cells(BURST3)} - {""})


def reuse(prompts: Sequence[Sequence[int]]) -> tuple[float, float]:
    """Shares of block references seen before, and of those that lead their prompt."""
    seen: set[int] = set()
    references = again = leading = 0
    for hashes in prompts:
        before = [hash_ in seen for hash_ in hashes]
        leading += before.index(False) if False in before else len(before)
        for hash_ in hashes:
            again += hash_ in seen
            seen.add(hash_)
        references += len(hashes)
    return again / references, leading / references


@pytest.mark.parametrize(("name", "percent"), [(CONVERSATION, 34.6), (ARXIV, 38.0)])
def test_prefix_reuse_of_mooncake(name, percent):
    row = summary(name)
    assert row.block_reuse_ratio is not None
    assert round(100 * row.block_reuse_ratio, 1) == percent
    prompts = [line["hash_ids"] for line in objects(name)]
    assert (row.block_reuse_ratio, row.prefix_reuse_ratio) == reuse(prompts)
    assert row.blocks == sum(map(len, prompts))
    assert row.block_tokens == 512


def test_mooncake_row_by_row():
    with open_trace([TRACES / CONVERSATION]) as trace:
        batches = list(trace.batches(1000))
    assert [len(batch) for batch in batches] == [1000] * 6
    first = batches[0]
    for place, line in enumerate(list(objects(CONVERSATION))[:1000]):
        found = first.hashes[first.hash_offsets[place] : first.hash_offsets[place + 1]]
        assert found.tolist() == line["hash_ids"]
        assert first.arrival_s[place] * 1000 == pytest.approx(line["timestamp"])
        assert first.prompt_tokens[place] == line["input_length"]
        assert first.output_tokens[place] == line["output_length"]


def test_azure_and_vidur_are_the_same_requests():
    azure, vidur = whole(AZURE), whole(VIDUR)
    assert np.array_equal(azure.prompt_tokens, vidur.prompt_tokens)
    assert np.array_equal(azure.output_tokens, vidur.output_tokens)
    assert np.allclose(azure.arrival_s, vidur.arrival_s, rtol=0, atol=1e-6)
    stamps = [
        datetime.datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in cells(AZURE)
    ]
    assert np.allclose(azure.arrival_s, np.array(stamps) - stamps[0], rtol=0, atol=1e-6)


def test_lengths_of_csv_files():
    read = {
        LENGTHS: ("num_prefill_tokens", "num_decode_tokens"),
        BURST3: ("Request tokens", "Response tokens"),
    }
    for name, columns in read.items():
        batch = whole(name)
        for array, column in zip((batch.prompt_tokens, batch.output_tokens), columns, strict=True):
            assert array.tolist() == [int(row[column]) for row in cells(name)]


def test_azure_2024_week_from_its_first_rows_to_its_last():
    row = summary("FORMAT-ONLY_Azure2024_code_1week.head5-tail5.csv.gz")
    assert (row.format, row.requests) == ("azure", 10)
    assert row.span_s == pytest.approx(7 * 86400, abs=1)


def test_dynamo_against_what_its_cache_served():
    row = summary(DYNAMO)
    requests = [
        line["event"]["request"]
        for line in objects(DYNAMO)
        if line["event"]["event_type"] == "request_end"
    ]
    requests.sort(key=lambda request: request["request_received_ms"])
    prompts = [request["replay"]["input_sequence_hashes"] for request in requests]
    assert max(map(max, prompts)) > 2**63
    assert (row.block_reuse_ratio, row.prefix_reuse_ratio) == reuse(prompts)
    served = sum(request["cached_tokens"] for request in requests)
    assert row.cached_ratio == served / sum(request["input_tokens"] for request in requests)
    arrived = [request["request_received_ms"] for request in requests]
    assert row.span_s == pytest.approx((arrived[-1] - arrived[0]) / 1000)
    assert row.sessions == 5


def test_weka_sessions_and_their_reuse():
    row = summary("weka")
    prompts: list[list[tuple[int, int]]] = []
    sessions = 0
    for number, path in enumerate(sorted((TRACES / "weka").iterdir())):
        document = json.loads(gzip.decompress(path.read_bytes()))
        sessions += 1
        turns = []
        for request in document["requests"]:
            inner = request.get("requests", [request])
            start = request["t"] if "requests" in request else 0.0
            sessions += "requests" in request
            turns += [(start + turn["t"], turn["hash_ids"]) for turn in inner]
        turns.sort(key=lambda turn: turn[0])
        prompts += [[(number, hash_) for hash_ in hashes] for _, hashes in turns]
    assert row.sessions == sessions == 57 + 11
    assert row.blocks == sum(map(len, prompts))
    assert (row.block_reuse_ratio, row.prefix_reuse_ratio) == pytest.approx(reuse(prompts))  # type: ignore[arg-type]


def test_ragpulse_blocks_of_its_chunks():
    """Blocks of 16 tokens, each known by all chunks up to the one that its last token lies in."""
    lengths = {}
    for path in sorted(TRACES.glob("ragpulse_[1-5]_*")):
        for line in objects(path.name):
            size = line.pop("token_length")
            lengths[next(iter(line.values()))] = size
    keys: dict[tuple[int, ...], int] = {}
    prompts = []
    for line in objects(RAGPULSE):
        parts = ("sys_prompt", "passages_ids", "history", "web_search", "user_input")
        ids = [id_ for part in parts for id_ in line["hash_ids"][part]]
        owners = [i for i, id_ in enumerate(ids) for _ in range(lengths[id_])]
        blocks = [(end // 16, *ids[: owners[end] + 1]) for end in range(15, len(owners), 16)]
        prompts.append([keys.setdefault(block, len(keys)) for block in blocks])
    row = summary(RAGPULSE)
    assert row.blocks == sum(map(len, prompts))
    assert (row.block_reuse_ratio, row.prefix_reuse_ratio) == reuse(prompts)


def test_servegen_rates_and_lengths():
    """A whole busy span of a client: as many requests as its windows ask for, of its lengths."""
    name = "servegen/language_m-small_chunk-13-trace.csv.gz"
    with gzip.open(TRACES / name, "rt") as lines:
        windows = [line.split(",") for line in lines]
    busy = [(float(w[0]), float(w[1])) for w in windows if float(w[1]) > 0]
    asked = sum(np.ceil(rate * 600) for start, rate in busy if start < busy[0][0] + 86400)
    with open_trace([TRACES / name], duration_s=86400.0) as trace:
        row = summarise(trace)
    assert 0 <= asked - row.requests <= len(busy)
    assert row.span_s <= 86400


def test_qwen_bailian_s_one_row():
    row = summary("FORMAT-ONLY_qwen_bailian_row1.jsonl.gz")
    assert (row.format, row.requests, row.blocks, row.block_tokens) == ("bailian", 1, 32, 16)
    assert (row.prompt_tokens.total, row.output_tokens.total, row.sessions) == (502, 1494, 1)


def test_the_whole_folder_is_no_one_trace():
    from kvprof.errors import TraceError  # noqa: PLC0415

    with pytest.raises(TraceError, match="files of 10 formats are not one trace"):
        open_trace([TRACES])
