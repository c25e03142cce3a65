"""What is wrong with a trace: one clear message with file and line, or a row that is counted."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import duckdb
import pytest

from kvprof.errors import DeviceError, TraceError, UnavailableError
from kvprof.workload.trace import open_trace

from .rows import rows_of

HEADER = "arrival_s,prompt_tokens,output_tokens,session_id,prefix_hashes,block_tokens\n"
GOOD = "1,20,2,,1 2,16\n"

BAD_ROWS = {
    "x,20,2,,1 2,16": "no usable arrival time",
    "nan,20,2,,1 2,16": "no usable arrival time",
    "1e300,20,2,,1 2,16": "no usable arrival time",
    # The difference of this and its negative is no 64-bit number of nanoseconds.
    "-9e9,20,2,,1 2,16": "no usable arrival time",
    "1,,2,,1 2,16": "no usable prompt length",
    "1,20,two,,1 2,16": "no usable output length",
    "1,-20,2,,1 2,16": "a negative length",
    "1,20,-2,,1 2,16": "a negative length",
    "1,20,1e18,,1 2,16": "a length above 1073741824 tokens",
    "1,inf,2,,1 2,16": "a length above 1073741824 tokens",
    "1,nan,2,,1 2,16": "a length above 1073741824 tokens",
    "1,20.5,2,,1 2,16": "a length that is not whole",
    "1,0,2,,,16": "a prompt of 0 tokens",
    "1,20,2,,1,17": None,
    "1,20,2,,1 2 3,16": "not as many prefix hashes as the prompt has blocks",
    "1,20,2,,,16": "not as many prefix hashes as the prompt has blocks",
    "1,20,2,,1 -2,16": "a prefix hash that is no unsigned 64-bit integer",
    f"1,20,2,,1 {2**64},16": "a prefix hash that is no unsigned 64-bit integer",
    "1,20,2,,1 2,0": "prefix hashes of blocks of no usable size",
    "1,20,2,,1 2": "not 6 columns",
    "1,20,2,,1,2,16": "not 6 columns",
    "1,2": "not 6 columns",
}


@pytest.mark.parametrize(("row", "reason"), [(k, v) for k, v in BAD_ROWS.items() if v])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_bad_row_is_an_error_with_file_and_line(write, row, reason, suffix):
    path = write(f"t.csv{suffix}", f"{HEADER}{GOOD}\n{row}\n{GOOD}{row}\n")
    with pytest.raises(TraceError) as caught:
        open_trace([path])
    # Line 1 is the header, line 3 is blank.
    assert str(caught.value).startswith(f"{path}:4: {row!r}: {reason}\n2 bad rows in all")
    assert caught.value.exit_code == 2


def test_bad_rows_are_skipped_by_reason_when_asked(write):
    rows = "".join(row + "\n" for row, reason in BAD_ROWS.items() if reason)
    with open_trace([write("t.csv", HEADER + GOOD + rows + GOOD)], skip_bad_rows=True) as trace:
        assert len(rows_of(trace)) == trace.facts.requests == 2
        expected: dict[str, int] = {}
        for reason in filter(None, BAD_ROWS.values()):
            expected[reason] = expected.get(reason, 0) + 1
        assert trace.facts.bad_rows == expected


def test_the_line_is_that_of_the_second_file(write):
    first, last = write("a.csv", HEADER + GOOD), write("b.csv", HEADER + GOOD + "?,1,1,,,16\n")
    with pytest.raises(TraceError, match=rf"^{last}:3: "):
        open_trace([first, last])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"timestamp": 1, "input_length": 5, "output_l', "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('"text"', "no JSON object"),
        ('{"timestamp": 1, "output_length": 5, "hash_ids": [1]}', "no usable prompt length"),
        ('{"timestamp": 1, "input_length": "many", "output_length": 5}', "no usable prompt length"),
        ('{"timestamp": 1, "input_length": 5, "output_length": 5}', "no prefix hashes"),
        (
            '{"timestamp": 1, "input_length": 5, "output_length": 5, "hash_ids": 7}',
            "no prefix hashes",
        ),
        (
            '{"timestamp": 1, "input_length": 5, "output_length": 5, "hash_ids": [1, 2]}',
            "not as many prefix hashes as the prompt has blocks",
        ),
        (
            '{"timestamp": 1, "input_length": 5, "output_length": 5, "hash_ids": [null]}',
            "a prefix hash that is no unsigned 64-bit integer",
        ),
    ],
)
def test_bad_lines_of_json(write, line, reason):
    good = '{"timestamp": 1, "input_length": 5, "output_length": 5, "hash_ids": [1]}\n'
    with pytest.raises(TraceError) as caught:
        open_trace([write("t.jsonl", good + line + "\n" + good)])
    assert f"t.jsonl:2: {line[:80]!r}: {reason}\n" in str(caught.value)


def test_chunks_and_hashes_that_contradict_their_prompts(write):
    hashes = '{"sys_prompt": [1], "passages_ids": [], "history": [], "user_input": []}'
    row = f'{{"timestamp": "1", "input_length": 9, "output_length": 1, "hash_ids": {hashes}, '
    path = write("0_trace.jsonl", row + '"session_id": "a"}\n')
    beside = write("1_sys_prompt.jsonl", '{"sys_prompt_id": 1, "token_length": 10}\n')
    with pytest.raises(TraceError, match=r"0_trace.jsonl:1: .*longer than the prompt"):
        open_trace([path])
    beside.write_text('{"sys_prompt_id": 2, "token_length": 10}\n')
    with pytest.raises(TraceError, match="whose length is in none of the files"):
        open_trace([path])
    beside.write_text('{"sys_prompt_id": 2, "token_length": "?"}\n')
    with pytest.raises(TraceError, match=r"1_sys_prompt.jsonl: 1 of its rows"):
        open_trace([path])


def test_two_block_sizes_are_no_trace(write):
    with pytest.raises(TraceError, match="of 16 and of 32 tokens in one trace"):
        open_trace([write("t.csv", HEADER + GOOD + "1,32,2,,1,32\n")])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "the file is empty"),
        ("t.csv", "\n\n", "no trace format that is known"),
        ("t.csv", "a,b\n1,2\n", "begins with 'a,b'"),
        ("t.jsonl", '{"a": 1}\n', "begins with 'a'"),
        ("t.jsonl", '{"a": \n', "no trace format that is known"),
        ("t.jsonl", '{"a": ' + "[" * 10**6 + "]" * 10**6 + "}\n", "no trace format that is known"),
        ("t.csv", HEADER, "no request in it, nothing below its header"),
        ("t.csv.gz", "", "there is no text in it"),
        ("t.csv", HEADER.encode("utf-16"), "UTF-16 text, which is not read"),
        ("t.bin", bytes(range(256)) * 9, "Invalid unicode"),
    ],
)
def test_files_that_hold_no_trace(write, name, content, message):
    with pytest.raises(TraceError) as caught:
        open_trace([write(name, content)])
    assert message in str(caught.value)


def test_only_failures_are_no_trace(write):
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    with pytest.raises(TraceError, match="1 that failed"):
        open_trace([write("t.csv", head + "5,GPT-4,0,0,0,API log\n")])


def test_paths_that_are_no_files(tmp_path, write):
    with pytest.raises(TraceError, match=r"nothing.csv' cannot be read: No such file"):
        open_trace([tmp_path / "nothing.csv"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TraceError, match="a folder without a file"):
        open_trace([tmp_path / "empty"])
    write("notes/README.md", "# Notes\n")
    write("notes/b.txt", "hello\n")
    with pytest.raises(TraceError, match="none of its 2 files is of a trace format"):
        open_trace([tmp_path / "notes"])
    with pytest.raises(TraceError, match=r"standard input is no trace\n.*save what a pipe gives"):
        open_trace(["-"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TraceError, match="no regular file"):
        open_trace([tmp_path / "pipe"])


def test_a_folder_of_two_formats_is_refused_and_of_one_with_a_readme_is_not(write, tmp_path):
    write("README.md", "# A trace\n")
    write("a.csv", HEADER + GOOD)
    with open_trace([tmp_path]) as trace:
        assert trace.notes == ("1 file of the folder hold no trace: README.md.",)
    write("b.csv", "arrived_at,num_prefill_tokens,num_decode_tokens\n1,2,3\n")
    with pytest.raises(TraceError, match="files of 2 formats are not one trace: plain, vidur"):
        open_trace([tmp_path])


def test_what_is_not_read_is_said(write, tmp_path):
    path = write("a.csv", HEADER + GOOD)
    write("inside/b.csv", HEADER + GOOD)
    with open_trace([tmp_path, path, tmp_path / "inside" / ".." / "a.csv"]) as trace:
        assert trace.facts.requests == 1
        assert trace.notes == (
            "2 files given more than once: each is read once.",
            "Not looked into: inside (folders in folders, and what is no file).",
        )


def test_events_that_are_no_requests_are_counted(write):
    event = (
        '{"timestamp": 5, "event": {"schema": "dynamo.request.trace.v1", "event_type": "%s", '
        '"request": {"input_tokens": 3, "output_tokens": 1, "request_received_ms": 4}}}\n'
    )
    path = write("t.jsonl", event % "request_end" + event % "tool_start" + event % "tool_end")
    with open_trace([path]) as trace:
        assert trace.facts.requests == 1
        assert "2 rows record something else than a request." in trace.notes


def test_a_forced_format_is_held_to_its_columns(write):
    path = write("t.csv", HEADER + GOOD)
    with pytest.raises(TraceError, match="no column 'TIMESTAMP', which the format azure has"):
        open_trace([path], format="azure")
    with pytest.raises(TraceError, match=r"'azur'\nThere are plain, mooncake"):
        open_trace([path], format="azur")
    with open_trace([path], format="plain") as trace:
        assert trace.facts.requests == 1


def rows_to_compress(count: int = 50_000) -> bytes:
    rows = (f"{i},{1 + i * i % 997},{i % 7}\n" for i in range(count))
    return ("arrival_s,prompt_tokens,output_tokens\n" + "".join(rows)).encode()


@pytest.fixture
def compressed(tmp_path):
    """The same rows as two gzip members and as zstd."""
    data = rows_to_compress()
    plain = tmp_path / "t.csv"
    plain.write_bytes(data)
    half = len(data) // 2
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(data[:half]) + gzip.compress(data[half:]))
    duckdb.execute(
        f"COPY (SELECT * FROM read_csv('{plain}')) TO '{tmp_path}/t.csv.zst' (COMPRESSION zstd)"
    )
    return {"none": plain, "gzip": tmp_path / "t.csv.gz", "zstd": tmp_path / "t.csv.zst"}


def test_compression_is_transparent_whatever_the_name(compressed, tmp_path, read):
    rows = read(compressed["none"])
    assert len(rows) == 50_000
    for kind in ("gzip", "zstd"):
        renamed = tmp_path / f"renamed-{kind}[1]*.txt"
        renamed.write_bytes(compressed[kind].read_bytes())
        assert read(renamed) == rows


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.97])
def test_a_file_cut_in_the_middle_is_not_read_as_a_short_one(compressed, kind, kept):
    data = compressed[kind].read_bytes()
    compressed[kind].write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(TraceError, match=rf"the {kind} file is cut off in the middle"):
        open_trace([compressed[kind]], skip_bad_rows=True)


def test_a_damaged_gzip_file_is_not_read_as_a_short_one(compressed):
    data = bytearray(compressed["gzip"].read_bytes())
    middle = len(data) // 4
    data[middle : middle + 100] = bytes(100)
    compressed["gzip"].write_bytes(data)
    with pytest.raises(TraceError, match=r"damaged|cut off"):
        open_trace([compressed["gzip"]], skip_bad_rows=True)


def test_bytes_that_are_no_utf8_make_bad_rows_only(write):
    data = (HEADER + GOOD).encode() + b"\xff,20,2,,1 2,16\n" + b"2,20,2,caf\xe9,1 2,16\n"
    path = write("t.csv", data)
    with pytest.raises(TraceError, match=r"t.csv:3: .*no usable arrival time"):
        open_trace([path])
    with open_trace([path], skip_bad_rows=True) as trace:
        assert [row.session for row in rows_of(trace)] == [-1, 0]


def test_bytes_of_neither_encoding_are_an_error_with_their_line(write):
    path = write("t.csv", (HEADER + GOOD).encode() + b"1,20,2,\x81\x82,1 2,16\n")
    with pytest.raises(TraceError, match=r"t.csv: cannot be read: CSV Error on Line: 3: Invalid"):
        open_trace([path], skip_bad_rows=True)


def test_what_follows_a_byte_order_mark_is_read(write, read):
    assert len(read(write("t.csv", b"\xef\xbb\xbf" + (HEADER + GOOD).encode()))) == 1


def test_text_in_other_scripts_is_read(write):
    path = write("t.csv", HEADER + "1,20,2,— 会话,1 2,16\n")
    with open_trace([path]) as trace:
        assert trace.facts.requests == 1


def test_a_line_that_is_too_long_is_an_error(write):
    path = write("t.csv", HEADER + GOOD + "1," + "9" * 9_000_000 + ",2,,,16\n")
    with pytest.raises(
        TraceError, match=r"cannot be read: CSV Error on Line: 3: Maximum line size"
    ):
        open_trace([path])


def test_nothing_is_left_behind(write, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pytest.raises(TraceError):
        open_trace([write("t.csv", HEADER + "?\n")])
    with open_trace([write("t.csv", HEADER + GOOD)]):
        assert list(folder.iterdir())
    assert not list(folder.iterdir())


def test_an_interrupt_is_one_and_leaves_nothing_behind(write, tmp_path):
    """Ctrl-C while DuckDB runs a query, whichever way it says so."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    rows = "".join(f"{i},{1 + i % 99},1\n" for i in range(200_000))
    path = write("t.csv", "arrival_s,prompt_tokens,output_tokens\n" + rows)
    program = (
        "import sys, threading, _thread\n"
        "from kvprof.__main__ import main\n"
        "from kvprof.workload import database\n"
        "connect = database.Database.execute\n"
        "def execute(self, sql):\n"
        "    if 'INSERT INTO staged' in sql:\n"
        "        threading.Thread(target=_thread.interrupt_main).start()\n"
        "    return connect(self, sql)\n"
        "database.Database.execute = execute\n"
        "sys.exit(main(['list', 'traces', sys.argv[1]]))\n"
    )
    words = [sys.executable, "-c", program, str(path)]
    environment = dict(os.environ, TMPDIR=str(folder))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "kvprof: error: interrupted")
    assert not list(folder.iterdir())


def test_without_a_temporary_folder_it_says_so(write, tmp_path, monkeypatch):
    path = write("t.csv", HEADER + GOOD)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(DeviceError, match=r"no temporary folder.*\n.*TMPDIR"):
        open_trace([path])


def test_without_duckdb_the_extra_is_named(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UnavailableError, match=r"needs DuckDB.*\n.*'kvprof\[traces\]'"):
        open_trace([write("t.csv", HEADER + GOOD)])
