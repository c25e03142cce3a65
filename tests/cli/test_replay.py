"""``replay``: results, time series, engines side by side, and what it refuses."""

from __future__ import annotations

import csv
import json

import pytest

from kvprof.plan import POOL_SHARES, REQUEST_WASTES

TRACE = """arrival_s,prompt_tokens,output_tokens,prefix_hashes
0,40,12,1 2
0.7,33,5,1 3
2.5,60,8,1 2 4
"""
MODEL = ("--model", "llama-3-8b")  # 128 KiB a token


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return path


def replayed(run_cli, validated, *arguments):
    run = run_cli("replay", *MODEL, *arguments, "--format", "json")
    assert run.exit_code == 0, run.stderr
    return validated(run.stdout)["results"]


def test_a_replay_in_figures(run_cli, validated, trace):
    (found,) = replayed(run_cli, validated, "--trace", trace, "--memory", "8MiB")
    # 64 tokens fit. The first request takes 4 blocks of 16 tokens from 49 tokens on; it is longest
    # when it ends with 52, but no fuller than it was with 49. 68 tokens never fit.
    assert found["requests"] == {
        "total": 3,
        "completed": 2,
        "rejected": 1,
        "preemptions": 0,
        "skipped_rows": 0,
    }
    assert found["bytes"] == {"logical": 49 * 131_072, "reserved": 64 * 131_072, "shared": 0}
    assert {n: b for n, b in found["waste"].items() if b} == {"tail": 15 * 131_072}
    assert found["fullest_s"] == 9 / 50
    assert found["capacity_bytes"] == 8 * 2**20
    # 40 to 52 tokens and 33 to 38, a step each, of 125 steps up to the third arrival.
    assert found["mean"]["bytes"]["logical"] == (46 * 13 + 35.5 * 6) * 131_072 / 125
    assert found["hit_rate"] is None
    assert found["series_file"] is None
    assert found["requests_per_s"] > 0
    assert (found["engine"], found["block_size"], found["stepping"]) == ("paged", 16, "blocks")


def test_sums_hold_for_engines_and_block_sizes_side_by_side(run_cli, validated, trace):
    engines = "paged,vllm,sglang,vmm,transformers,orca-max,orca-pow2,orca-oracle"
    given = ("--trace", trace, "--memory", "1GiB", "--engine", engines, "--block-size", "16,32")
    found = replayed(run_cli, validated, *given)
    assert [each["engine"] for each in found] == [n for n in engines.split(",") for _ in range(2)]
    for each in found:
        assert set(each["waste"]) == set(REQUEST_WASTES)
        assert set(each["pool"]) == set(POOL_SHARES)
        held = each["bytes"]["logical"] + sum(each["waste"].values())
        assert held == each["bytes"]["reserved"] == each["pool"]["reserved"]
        assert sum(each["pool"].values()) == each["capacity_bytes"] == 2**30
        assert each["requests"]["completed"] == 3


def test_tokens_and_blocks_give_the_same(run_cli, validated, trace):
    given = ("--trace", trace, "--memory", "10MiB", "--rate", "20", "--prefix-cache", "on")
    timed = ("seconds", "requests_per_s", "block_operations_per_s", "stepping")
    (by_block,) = replayed(run_cli, validated, *given)
    (by_token,) = replayed(run_cli, validated, *given, "--stepping", "tokens")
    assert by_block["stepping"] == "blocks"
    for name in timed:
        del by_block[name], by_token[name]
    assert by_block == by_token


def test_prefixes_are_found(run_cli, validated, trace):
    given = ("--trace", trace, "--memory", "1GiB", "--prefix-cache", "on")
    (found,) = replayed(run_cli, validated, *given)
    # Hashes of 16 tokens: the second prompt finds 16 of 33 tokens, the third 32 of 60.
    assert found["hit_rate"] == (16 + 32) / (40 + 33 + 60)


@pytest.mark.parametrize("option", ["-o", "--series"])
def test_a_time_series_as_csv(run_cli, validated, trace, tmp_path, option):
    series = tmp_path / "series.csv"
    given = ("--trace", trace, "--memory", "8MiB", "--engine", "paged,orca-oracle")
    found = replayed(run_cli, validated, *given, option, series)
    assert {each["series_file"] for each in found} == {str(series)}
    rows = list(csv.DictReader(series.read_text().splitlines()))
    assert {row["engine"] for row in rows} == {"paged", "orca-oracle"}
    for row in rows:
        reserved = sum(int(row[name]) for name in ("logical", *REQUEST_WASTES))
        assert reserved == int(row["pool_reserved"])
        assert sum(int(row[f"pool_{name}"]) for name in POOL_SHARES) == 8 * 2**20
        assert float(row["utilisation"]) == reserved / (8 * 2**20)
    first = [row for row in rows if row["engine"] == "paged"]
    assert [float(row["t_s"]) for row in first[:2]] == [0.0, 0.02]


def test_a_time_series_as_parquet(run_cli, validated, trace, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    series = tmp_path / "series.parquet"
    (found,) = replayed(run_cli, validated, "--trace", trace, "--memory", "8MiB", "-o", series)
    (most,) = duckdb.execute(f"SELECT max(pool_reserved) FROM '{series}'").fetchone()
    assert most == found["bytes"]["reserved"]


def test_the_document_goes_to_a_file_too(run_cli, trace, tmp_path):
    given = ("--trace", trace, "--memory", "8MiB", "--format", "json")
    assert run_cli("replay", *MODEL, *given, "-o", tmp_path / "r.json").stdout == ""
    assert json.loads((tmp_path / "r.json").read_text())["kind"] == "replay"


def test_the_table_names_every_byte(run_cli, trace):
    run = run_cli("replay", *MODEL, "--trace", trace, "--memory", "8MiB", "--engine", "orca-max")
    assert run.exit_code == 0
    assert "never_used" not in run.stdout  # 68 tokens do not fit, and all requests are rejected
    assert "3 of 3 requests could never fit" in run.stderr
    run = run_cli("replay", *MODEL, "--trace", trace, "--memory", "1GiB", "--engine", "orca-max")
    assert "never_used" in run.stdout
    assert "█" in run.stdout or "▁" in run.stdout


def test_pages_below_the_driver_s_are_called_simulation(run_cli, trace):
    given = ("--trace", trace, "--memory", "1GiB", "--engine", "vmm")
    assert "simulation" not in run_cli("replay", *MODEL, *given).stderr
    run = run_cli("replay", *MODEL, *given, "--engine-option", "vmm.page=64KiB")
    assert "64 KiB are a simulation" in run.stderr


def test_rows_that_are_skipped_are_counted(run_cli, validated, trace):
    trace.write_text(TRACE + "x,1,1,\n900,16,1,1\n")
    given = ("--trace", trace, "--memory", "1GiB", "--skip-bad-rows", "--duration", "800")
    (found,) = replayed(run_cli, validated, *given)
    assert found["requests"]["total"] == 3
    assert found["requests"]["skipped_rows"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a replay is about a memory"),
        (("--memory", "1GiB", "--weights", "1GiB"), "--weights is taken off --device-memory"),
        (("--memory", "1GiB", "--engine", "logical"), "places nothing"),
        (("--memory", "1GiB", "--engine", "nonesuch"), "nonesuch"),
        (("--memory", "1GiB", "--series", "series.txt"), ".csv or .parquet"),
        (("--memory", "900TiB", "--engine", "sglang"), "cannot be divided into blocks"),
        (("--memory", "1GiB", "--engine", "vmm", "--prefix-cache", "on"), "--prefix-cache on"),
        (("--memory", "1GiB", "--engine", "vmm", "--engine-option", "vmm.page=3KiB"), "vmm.page"),
        (("--memory", "1GiB", "--decode-tokens-per-s", "0"), "--decode-tokens-per-s"),
        (("--memory", "1GiB", "--trace-format", "nonesuch"), "nonesuch"),
    ],
)
def test_what_is_refused(fails, trace, arguments, said):
    assert said in fails(2, "replay", *MODEL, "--trace", trace, *arguments)


def test_encoder_positions_have_no_prefix_cache(fails, trace):
    given = ("--model", "whisper-tiny", "--memory", "1GiB", "--prefix-cache", "on")
    assert "encoder" in fails(2, "replay", *given, "--trace", trace)


def test_a_trace_without_hashes_has_no_prefix_cache(fails, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,1,1\n")
    given = ("--memory", "1GiB", "--prefix-cache", "on", "--trace", trace)
    assert "no prefix hashes" in fails(2, "replay", *MODEL, *given)


def test_an_empty_trace_is_named(fails, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n")
    assert "trace.csv" in fails(2, "replay", *MODEL, "--memory", "1GiB", "--trace", trace)
