"""``kvprof profile``: small real runs, what they must cover, and the sums that must hold."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
from functools import cache

import pytest

SMALL = ("--stream-memory", "300MiB", "--tokens", "512", "--sequences", "2")
TINY = ("--stream-memory", "64MiB", "--tokens", "128", "--sequences", "2")
QUICK = ("--time-budget", "1")
PATIENT = ("--time-budget", "10")
"""Sampling stops as soon as the figures are steady; the budget is for a machine that is not."""

MLA_BYTES = 70_272
MOVES = ("block_copy", "zero", "swap_out", "swap_in")
STREAMS = {
    "mla": {
        *((op, "latent", "shuffled") for op in MOVES),
        ("decode_read", "latent", "aged"),
        ("decode_read", "latent", "fresh"),
        ("decode_read", "latent", "shuffled"),
        ("decode_read", "latent", "contiguous"),
        ("append", "latent", "fresh"),
        ("append", "latent", "shuffled"),
    },
    "ssm": {
        *((op, "mamba1", "shuffled") for op in MOVES),
        ("state_update", "mamba1", "aged"),
        ("state_update", "mamba1", "fresh"),
        ("state_update", "mamba1", "shuffled"),
    },
    "hybrid": {
        *((op, cache, "shuffled") for op in MOVES for cache in ("attention", "mamba1")),
        ("decode_read", "attention", "aged"),
        ("state_update", "mamba1", "aged"),
        ("decode_read", "attention", "fresh"),
        ("decode_read", "attention", "shuffled"),
        ("decode_read", "attention", "contiguous"),
        ("append", "attention", "fresh"),
        ("append", "attention", "shuffled"),
        ("state_update", "mamba1", "fresh"),
        ("state_update", "mamba1", "shuffled"),
    },
}
"""Operation, cache and order of what a profile of each family must have streamed."""


@pytest.fixture(scope="module")
def profile_of(session_cli, validated):
    """The result of a small profile of an architecture, measured once."""

    @cache
    def call(arch):
        run = session_cli("profile", "--arch", arch, *SMALL, *PATIENT, "--format", "json")
        assert (run.exit_code, run.stderr) == (0, "")
        (result,) = validated(run.stdout)["results"]
        return result

    return call


@pytest.fixture(params=list(STREAMS))
def profiled(request, profile_of):
    return request.param, profile_of(request.param)


@pytest.fixture
def mla(profile_of):
    return profile_of("mla")


def test_streams_cover_what_the_family_does(profiled):
    arch, result = profiled
    measured = {(s["op"], s["cache"], s["order"]) for s in result["streams"]}
    assert measured >= STREAMS[arch], result["warnings"]
    ops = {op for op, _, _ in STREAMS[arch]}
    assert {op for op, _, _ in measured} == ops


def test_each_stream_is_measured_against_a_ceiling(profiled):
    _, result = profiled
    ceilings = result["device"]["ceilings"]
    assert {"read", "write", "copy", "rmw"} <= set(ceilings)
    assert min(ceilings.values()) > 0
    copies = dict.fromkeys(("block_copy", "swap_out", "swap_in"), "copy")
    directions = {"decode_read": "read", "append": "write", "state_update": "rmw", "zero": "write"}
    directions |= copies
    for stream in result["streams"]:
        assert stream["ceiling"] == directions[stream["op"]]
        seconds = stream["seconds"]
        assert len(seconds["samples"]) >= 2
        assert min(seconds["samples"]) <= seconds["q1"] <= seconds["median"] <= seconds["q3"]
        assert stream["bytes_per_s"] == pytest.approx(stream["bytes"] / seconds["median"])
        assert stream["ratio_to_ceiling"] > 0
        assert stream["variant"]
        assert set(stream["disturbed"]) == {"interrupted", "throttled"}
        assert 0 <= stream["dropped"] <= sum(stream["disturbed"].values())


def test_what_the_system_really_gave_is_recorded(profiled):
    _, result = profiled
    allocation, device = result["allocation"], result["device"]
    whole = allocation["pool_bytes"] + allocation["ceiling_bytes"]
    assert whole == 300 * 2**20
    assert allocation["policy"] == "huge_pages"
    if allocation["node_bytes"] is not None:
        assert sum(allocation["node_bytes"].values()) >= whole
    assert allocation["locked"] is (allocation["lock_refused"] is None)
    assert len(device["cpus"]) == device["threads"]
    assert all(cpu["pinned"] for cpu in device["cpus"])


def test_small_pages_are_an_option_and_what_was_given_is_said(session_cli, validated):
    run = session_cli("profile", "--arch", "mqa", *TINY, "--no-huge-pages", *QUICK, "--format=json")
    (result,) = validated(run.stdout)["results"]
    assert result["allocation"]["policy"] == "plain"
    assert not result["allocation"]["huge_page_bytes"]


def test_a_policy_says_the_same_as_a_flag(session_cli, validated):
    arguments = ("profile", "--arch", "mqa", *TINY, *QUICK, "--operations", "zero", "--format=json")
    run = session_cli(*arguments, "--allocation", "plain", "--no-huge-pages")
    (result,) = validated(run.stdout)["results"]
    assert result["allocation"]["policy"] == "plain"


def test_policies_that_cannot_be_had(fails):
    mla = ("profile", "--arch", "mla", "--stream-memory", "64MiB")
    message = fails(2, *mla, "--allocation", "vmm")
    assert all(word in message for word in ("--allocation is 'vmm'", "huge_pages, plain"))
    message = fails(2, *mla, "--allocation", "huge_pages", "--no-huge-pages")
    assert all(word in message for word in ("--no-huge-pages", "--allocation huge_pages"))
    assert "--allocation" in fails(2, *mla, "--device", "cuda", "--no-huge-pages")


def test_reserved_is_logical_plus_wastes_and_capacity_the_sum_of_its_shares(profiled):
    _, result = profiled
    found = result["fragmentation"]
    assert found["bytes"]["reserved"] == found["bytes"]["logical"] + sum(found["waste"].values())
    pool = dict(found["pool"])
    capacity = pool.pop("capacity")
    assert list(pool) == [
        *("reserved", "reclaimable", "free", "external", "remainder", "reserved_blocks"),
        "imbalance",
    ]
    assert capacity == sum(pool.values()) == result["allocation"]["pool_bytes"]
    assert min(pool.values()) >= 0
    assert pool["reserved"] == found["bytes"]["reserved"]
    assert found["requests"]["completed"] > 0
    sizes = result["bytes"]
    assert sizes["reserved"] == sizes["logical"] + sum(result["waste"].values())


def test_the_fields_of_a_profile_are_those_of_the_contract(profiled):
    _, result = profiled
    assert {
        *("device", "allocation", "streams", "fragmentation", "step", "capacity", "warnings")
    } <= set(result)
    assert {"name", "backend", "ceilings", "bus_peak_bytes_per_s"} <= set(result["device"])
    assert {
        *("policy", "pool_bytes", "blocks", "seconds", "touch_seconds"),
        *("block_ops_per_s", "python_call_seconds"),
    } <= set(result["allocation"])
    assert {
        *("op", "cache", "order", "sequences", "tokens", "run_bytes", "bytes", "seconds"),
        *("bytes_per_s", "ceiling", "ratio_to_ceiling", "noisy"),
    } <= set(result["streams"][0])
    assert result["device"]["backend"] == "cpu"
    assert result["memory_order"] == {"page_order": "nhd", "kv": "packed", "outer": "layer"}
    assert [point["tokens"] for point in result["capacity"]] == [1024, 4096, 32_768, 131_072]
    assert result["engine"] == "paged"


def test_bytes_of_streams_and_steps_by_hand(mla):
    # 2 sequences x 512 tokens x 61 layers x 1,152 B
    held = 2 * 512 * MLA_BYTES
    assert mla["bytes"]["logical"] == held
    assert mla["step"]["bytes_read"] == held
    assert mla["step"]["bytes_written"] == 2 * MLA_BYTES
    assert (mla["step"]["weights_bytes"], mla["step"]["cache_only"]) == (None, True)
    by_order = {(s["op"], s["order"], s["tokens"]): s for s in mla["streams"]}
    assert by_order["decode_read", "fresh", 512]["bytes"] == held
    assert by_order["decode_read", "fresh", 512]["run_bytes"] == 16 * 1152
    assert mla["allocation"]["pool_bytes"] <= 300 * 2**20


def test_sparse_attention_reads_its_index_and_the_rows_that_it_chooses(session_cli, validated):
    # 61 layers: an index of 256 B for each of 2 x 64 tokens, and all their rows of 1,152 B, since
    # 64 are fewer than 2,048.
    run = session_cli(
        *("profile", "--model", "deepseek-v3.2", "--stream-memory", "128MiB", "--tokens", "64"),
        *("--sequences", "2", "--operations", "sparse_read,append", *PATIENT, "--format", "json"),
    )
    (result,) = validated(run.stdout)["results"]
    reads = {s["order"]: s for s in result["streams"] if s["op"] == "sparse_read"}
    assert set(reads) == {"fresh", "shuffled", "aged"}
    for read in reads.values():
        assert (read["cache"], read["ceiling"], read["run_bytes"]) == ("latent", "read", 1152)
        assert read["bytes"] == 61 * 128 * (1152 + 256) == result["step"]["bytes_read"]
    assert not any("the decode step needs" in warning for warning in result["warnings"])


def test_a_profiler_safe_run_times_once_and_says_so(session_cli, validated):
    run = session_cli("profile", "--arch", "mla", *TINY, "--profiler-safe", "--format", "json")
    assert (run.exit_code, run.stderr) == (0, "")
    (result,) = validated(run.stdout)["results"]
    measured = {(s["op"], s["cache"], s["order"]) for s in result["streams"]}
    assert measured == STREAMS["mla"]
    for stream in result["streams"]:
        assert len(stream["seconds"]["samples"]) == len(stream["ceiling_seconds"]) == 1
        assert (stream["noisy"], stream["variants"]) == (True, {})
    assert result["fragmentation"]["aged_read_noisy"] is True
    assert any("no rate, ratio or step is a measurement" in w for w in result["warnings"])


def test_capacity_and_weights_by_hand(session_cli, validated):
    run = session_cli(
        *("profile", "--arch", "mla", *SMALL, *QUICK, "--format", "json"),
        *("--device-memory", "20GiB", "--weights", "10GiB"),
    )
    (result,) = validated(run.stdout)["results"]
    assert result["step"]["weights_bytes"] == 10 * 2**30
    assert result["step"]["bytes_read"] >= 2 * 512 * MLA_BYTES
    assert result["step"]["cache_only"] is False
    # 10 GiB // (16 x 70,272 B) = 9,549 blocks; 64, 256, 2,048 and 8,192 of them a sequence.
    assert [point["sequences"] for point in result["capacity"]] == [149, 37, 4, 1]


def test_a_result_for_each_combination(session_cli, validated):
    run = session_cli(
        *("profile", "--arch", "mqa", "--model", "gpt2", "--stream-memory", "128MiB"),
        *("--tokens", "64,128", "--sequences", "1", "--block-size", "16,32"),
        *("--time-budget", "0.1", "--format", "json"),
    )
    assert (run.exit_code, run.stderr) == (0, "")
    points = [
        (r["model"]["name"], r["tokens"], r["sequences"], r["block_size"])
        for r in validated(run.stdout)["results"]
    ]
    assert points == [
        (model, tokens, 1, block)
        for model in ("starcoder", "gpt2")
        for tokens in (64, 128)
        for block in (16, 32)
    ]


def test_a_grid_times_what_a_step_does_in_four_orders(session_cli, validated):
    run = session_cli(
        *("profile", "--arch", "mqa", "--stream-memory", "128MiB", "--sequences", "1,4"),
        *("--tokens", "16,128", "--time-budget", "1", "--format", "json"),
    )
    results = validated(run.stdout)["results"]
    shapes = [(r["sequences"], r["tokens"]) for r in results]
    assert shapes == [(1, 16), (4, 16), (1, 128), (4, 128)]
    for result in results:
        orders = {s["order"] for s in result["streams"] if s["op"] == "decode_read"}
        assert orders == {"contiguous", "fresh", "aged", "shuffled"}
        assert {s["op"] for s in result["streams"]} == {"decode_read", "append"}
        assert {s["tokens"] for s in result["streams"] if s["op"] == "append"} == {1}
        assert result["step"]["seconds"] > 0


def test_a_batch_of_mixed_lengths_by_hand(session_cli, validated):
    # starcoder: 40 layers x 2 x 128 x 2 B = 20,480 B a token; 3 x 20 + 2 x 100 tokens.
    run = session_cli(
        *("profile", "--arch", "mqa", "--stream-memory", "128MiB", "--lengths", "3x20,2x100"),
        *("--time-budget", "1", "--format", "json"),
    )
    (result,) = validated(run.stdout)["results"]
    assert (result["tokens"], result["sequences"]) == (100, 5)
    assert result["lengths"] == [{"sequences": 3, "tokens": 20}, {"sequences": 2, "tokens": 100}]
    assert result["bytes"]["logical"] == result["step"]["bytes_read"] == 260 * 20_480
    # In blocks of 16: 3 x 32 + 2 x 112 tokens.
    assert result["bytes"]["reserved"] == 320 * 20_480
    reads = {s["order"]: s for s in result["streams"] if s["op"] == "decode_read"}
    assert reads["fresh"]["bytes"] == reads["aged"]["bytes"] == 260 * 20_480
    assert reads["fresh"]["tokens"] == 52


def test_memory_orders_are_told_apart_and_shown_side_by_side(session_cli, validated):
    # A row of Qwen3's 8 KV heads is 4 KiB: 512 B a head, 256 B of K.
    arguments = (
        *("profile", "--model", "llama-3-8b", "--stream-memory", "256MiB", "--tokens", "64"),
        *("--sequences", "2", "--page-order", "nhd,hnd", "--kv", "apart", "--outer", "layer,block"),
        *("--operations", "append,swap_out", "--time-budget", "1"),
    )
    results = validated(session_cli(*arguments, "--format", "json").stdout)["results"]
    runs = {
        (r["memory_order"]["page_order"], r["memory_order"]["outer"]): {
            s["op"]: s["run_bytes"] for s in r["streams"]
        }
        for r in results
    }
    page, layers = 16 * 4096, 32
    assert runs == {
        ("nhd", "layer"): {"append": 2048, "swap_out": page},
        ("nhd", "block"): {"append": 2048, "swap_out": page * layers},
        ("hnd", "layer"): {"append": 256, "swap_out": page},
        ("hnd", "block"): {"append": 256, "swap_out": page * layers},
    }
    table = session_cli(*arguments).stdout
    assert "Memory orders side by side" in table
    assert "hnd apart block" in table


def test_a_budget_that_is_too_short_says_what_was_dropped(session_cli, validated):
    run = session_cli("profile", "--arch", "mla", *SMALL, "--time-budget", "1e-9", "--format=json")
    assert run.exit_code == 0
    (result,) = validated(run.stdout)["results"]
    (warning,) = [w for w in result["warnings"] if "--time-budget" in w and "not measured" in w]
    assert all(word in warning for word in ("decode_read", "append", "latent", "fresh"))


def test_reports_for_people(session_cli):
    texts = {
        format_: session_cli("profile", "--arch", "mqa", *TINY, *PATIENT, "--format", format_)
        for format_ in ("table", "markdown", "csv")
    }
    for run in texts.values():
        assert (run.exit_code, run.stderr) == (0, "")
        assert "\x1b" not in run.stdout
        assert "nan" not in run.stdout.lower().split()
    for word in ("decode_read", "shuffled", "reserved = logical + wastes", "sequences that fit"):
        assert word in texts["table"].stdout
        assert word in texts["markdown"].stdout
    assert "cache only" in texts["table"].stdout
    rows = list(csv.DictReader(io.StringIO(texts["csv"].stdout)))
    assert {row["stream.op"] for row in rows} == {"decode_read", "append", *MOVES}
    assert {row["model.name"] for row in rows} == {"starcoder"}


def test_more_memory_than_there_is(fails):
    message = fails(3, "profile", "--arch", "mla", "--stream-memory", "1")
    assert "less than the 1 MiB" in message
    message = fails(3, "profile", "--arch", "mla", "--stream-memory", "900TiB")
    assert "900 TiB" in message
    largest = message.split("Try --stream-memory ")[1].split()[0]
    assert largest.endswith("MiB")
    assert int(largest.removesuffix("MiB")) > 0


@pytest.mark.parametrize(
    ("option", "too_many", "fitting"),
    [
        ("--sequences", "1000", r"at most (\d+) sequences of 256 tokens fit"),
        ("--tokens", "1m", r"no sequence of 1,024k tokens fits; (\d+) tokens would"),
    ],
)
def test_what_does_not_fit_is_told_what_would(fails, run_cli, option, too_many, fitting):
    small = ("profile", "--arch", "mla", "--stream-memory", "64MiB", "--tokens", "256")
    small = small if option == "--sequences" else small[:-2]
    message = fails(3, *small, option, too_many)
    assert "--stream-memory" in message
    found = re.search(fitting, message)
    assert found, message
    most = int(found[1])
    assert run_cli(*small, option, most, "--time-budget", "0.1").exit_code == 0
    beyond = most + 1 if option == "--sequences" else most + 16
    fails(3, *small, option, beyond)


def test_what_cannot_be_profiled(fails):
    logical = ("profile", "--arch", "mla", "--stream-memory", "64MiB", "--engine", "logical")
    assert "--engine paged" in fails(2, *logical)
    assert "--tokens is 0" in fails(2, *logical[:-2], "--tokens", "0")


def test_cpus_that_may_not_be_used(fails):
    assert "4095" in fails(2, "profile", "--arch", "mla", "--cpus", "4095")
    message = fails(2, "profile", "--arch", "mla", "--threads", "4096")
    assert "--threads is 4096" in message
    assert "Give at most" in message
    assert "one of them" in fails(2, "profile", "--arch", "mla", "--threads", "1", "--cpus", "0")


@pytest.mark.parametrize("option", [("--threads", "1"), ("--cpus", "0")])
def test_threads_are_the_cpus(fails, option):
    message = fails(2, "profile", "--arch", "mla", "--device", "cuda:1", *option)
    assert "--threads and --cpus are about the CPU" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--page-order", "dhn"], ["--page-order", "nhd, hnd"]),
        (["--kv", "mixed"], ["--kv", "packed, apart"]),
        (["--outer", "token"], ["--outer", "layer, block"]),
        (["--operations", "attention"], ["--operations", "decode_read", "step"]),
        (["--lengths", "4k"], ["--lengths", "32x512"]),
        (["--lengths", "2x4k", "--tokens", "1k"], ["--lengths", "--tokens and --sequences"]),
    ],
)
def test_bad_values_are_told_what_is_allowed(fails, arguments, words):
    message = fails(2, "profile", "--arch", "mla", *arguments)
    assert all(word in message for word in words), message


def test_a_shape_that_does_not_fit_is_left_out_of_a_grid(session_cli, validated):
    run = session_cli(
        *("profile", "--arch", "mla", "--stream-memory", "64MiB", "--tokens", "32,1m"),
        *("--time-budget", "0.1", "--format", "json"),
    )
    assert run.exit_code == 0
    (result,) = validated(run.stdout)["results"]
    assert result["tokens"] == 32
    assert "left out" in run.stderr
    assert "1,024k tokens" in run.stderr


def test_operations_that_do_not_apply(fails):
    states = ("profile", "--arch", "ssm", "--stream-memory", "64MiB", "--tokens", "16")
    message = fails(2, *states, "--sequences", "1", "--operations", "append")
    assert "append" in message
    assert "state_update" in message


def test_mixed_lengths_that_do_not_fit(fails):
    small = ("profile", "--arch", "mla", "--stream-memory", "64MiB")
    message = fails(3, *small, "--lengths", "400x16,1x256")
    assert "401 sequences of --lengths" in message
    assert "--stream-memory" in message


def test_an_existing_output_file_is_refused_before_the_work(fails, tmp_path):
    (tmp_path / "out.json").write_text("precious")
    message = fails(2, "profile", "--arch", "mla", "--stream-memory", "900TiB", "-o", "out.json")
    assert "--force" in message


def test_a_run_that_fails_leaves_no_file(fails, tmp_path):
    fails(3, "profile", "--arch", "mla", "--stream-memory", "900TiB", "-o", "out.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", [False, True])
def test_ctrl_c_leaves_no_half_written_file(run_cli, tmp_path, existing):
    """stderr is a terminal here, so that the progress on it says when the measuring has begun."""
    if existing:
        (tmp_path / "out.json").write_text("precious")
    terminal, stderr = pty.openpty()
    arguments = ("profile", "--arch", "mla", *SMALL, "--time-budget", "600", "-o", "out.json")
    with subprocess.Popen(
        [*run_cli.command, *arguments, "--force", "--format", "json"],
        cwd=tmp_path,
        env=run_cli.env | {"TERM": "xterm", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    ) as process:
        os.close(stderr)
        shown = b""
        while b"decode_read" not in shown:
            shown += os.read(terminal, 4096)
        os.killpg(process.pid, signal.SIGINT)
        # Read on until nobody holds the terminal open: a full one would stop the process.
        with contextlib.suppress(OSError):
            while chunk := os.read(terminal, 4096):
                shown += chunk
        stdout, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 130
    assert stdout == b""
    assert shown.decode().count("kvprof: error: interrupted") == 1
    assert "Traceback" not in shown.decode()
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == ({"out.json": "precious"} if existing else {})


def test_progress_goes_to_a_terminal_only(mla, run_cli, tmp_path):
    run = run_cli("profile", "--arch", "mla", *SMALL, *QUICK, "--format=json", "-o", "out.json")
    assert (run.exit_code, run.stdout, run.stderr) == (0, "", "Wrote out.json\n")
    (result,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert result["bytes"] == mla["bytes"]


def test_a_trace_ages_the_pool(run_cli, validated, tmp_path):
    trace = tmp_path / "trace.csv"
    rows = [f"{arrival},40,{output}" for arrival, output in ((0, 12), (0.1, 24), (3, 5))]
    trace.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]) + "\n")
    given = ("--arch", "mla", *TINY, *QUICK, "--operations", "decode_read", "--trace", trace)
    run = run_cli("profile", *given, "--format", "json")
    assert run.exit_code == 0, run.stderr
    (result,) = validated(run.stdout)["results"]
    found = result["fragmentation"]
    assert found["traffic"] == str(trace)
    # Blocks of 16. The second comes after 5 steps; the first takes its fourth block with 49 tokens
    # in step 9, when the second has 45 or less: 4 + 3 blocks. It is done after step 12, when the
    # second still has 3; alone the second never holds more than 4.
    assert found["requests"]["live"] == 2
    assert found["bytes"]["reserved"] == (4 + 3) * 16 * MLA_BYTES
    assert found["requests"]["completed"] == 0
    assert found["trace_requests"] == {
        "total": 3,
        "completed": 3,
        "rejected": 0,
        "preemptions": 0,
        "skipped_rows": 0,
    }
    run = run_cli("profile", *given)
    assert f"({trace} at its fullest)" in run.stdout
    assert "the whole trace: 3 requests, 3 completed, 0 preempted, 0 rejected" in run.stdout


def test_drawn_requests_age_the_pool(run_cli, validated):
    given = ("--arch", "mla", *TINY, *QUICK, "--operations", "decode_read")
    words = ("--synthetic", "requests=3,spread=0,prompt-tokens=40,output-tokens=12")
    # A step is a second: the three are there at once, and each takes a fourth block with 49 tokens.
    paced = ("--rate", "1000", "--decode-tokens-per-s", "1")
    run = run_cli("profile", *given, *words, *paced, "--format", "json")
    assert run.exit_code == 0, run.stderr
    (result,) = validated(run.stdout)["results"]
    found = result["fragmentation"]
    assert found["traffic"].startswith("synthetic requests=3,prompt-tokens=40")
    assert found["bytes"]["reserved"] == 3 * 4 * 16 * MLA_BYTES


HASHED = "arrival_s,prompt_tokens,output_tokens,prefix_hashes\n"


def test_a_trace_whose_prompts_begin_alike(run_cli, validated, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text(f"{HASHED}0,40,4,1 2\n0,40,4,1 3\n1,16,99999999,4\n")
    given = ("--arch", "mla", *TINY, *QUICK, "--operations", "decode_read", "--trace", trace)
    run = run_cli("profile", *given, "--prefix-cache", "on", "--format", "json")
    assert run.exit_code == 0, run.stderr
    (result,) = validated(run.stdout)["results"]
    found = result["fragmentation"]
    # Three blocks of 16 each, of which the first is one: (16 + 24 + 24) tokens.
    assert found["bytes"] == {
        "logical": 64 * MLA_BYTES,
        "reserved": 5 * 16 * MLA_BYTES,
        "shared": 16 * MLA_BYTES,
    }
    assert found["trace_requests"]["rejected"] == 1
    assert found["aged_read_ratio"] > 0
    assert any("1 of the trace's 3 requests could never fit" in w for w in result["warnings"])
    run = run_cli("profile", *given, "--prefix-cache", "on")
    assert "sharing prefixes saves" in run.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--prefix-cache on: blocks are found again by the hashes of a trace"),
        (("--trace", "trace.csv"), "trace.csv has no prefix hashes"),
    ],
)
def test_prefixes_that_cannot_be_cached(fails, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0,40,4\n")
    given = ("--arch", "mla", *TINY, *QUICK)
    assert message in fails(2, "profile", *given, "--prefix-cache", "on", *words)
