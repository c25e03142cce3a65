"""``replay``: results, time series, engines side by side, and what it refuses."""

from __future__ import annotations

import csv
import json

import pytest

from kvprof.plan import POOL_SHARES, REQUEST_WASTES
from kvprof.workload.synthetic import Synthetic

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


def test_two_configs_of_one_name_are_two_models(run_cli, validated, trace, tmp_path):
    configs = []
    for layers in (2, 6):
        config = tmp_path / str(layers) / "same" / "config.json"
        config.parent.mkdir(parents=True)
        fields = {"num_hidden_layers": layers, "hidden_size": 512, "num_attention_heads": 8}
        config.write_text(json.dumps({"model_type": "llama", "torch_dtype": "bfloat16", **fields}))
        configs += ["--config", config]
    given = ("--trace", trace, "--memory", "1GiB", "--engine", "transformers", "--format", "json")
    run = run_cli("replay", *configs, *given)
    small, large = validated(run.stdout)["results"]
    assert small["model"]["name"] == large["model"]["name"]
    assert large["bytes"]["logical"] == 3 * small["bytes"]["logical"]


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


@pytest.mark.parametrize("model", ["gemma-3-27b", "jamba-mini-1.5", "deepseek-v3"])
def test_pools_and_groups_add_up(run_cli, validated, trace, model):
    engines = "paged,vllm,sglang,vmm,transformers"
    given = ("--trace", trace, "--memory", "3GiB", "--engine", engines, "--format", "json")
    run = run_cli("replay", "--model", model, *given)
    for each in validated(run.stdout)["results"]:
        pools = each["pools"]
        assert bool(pools) == (each["engine"] != "transformers")
        if not pools:
            continue
        assert sum(pool["bytes"] for pool in pools) + each["pool"]["remainder"] == 3 * 2**30
        for name in pools[0]["shares"]:
            assert sum(pool["shares"][name] for pool in pools) == each["pool"][name]
            mean = sum(pool["mean_shares"][name] for pool in pools)
            assert mean == pytest.approx(each["mean"]["pool"][name], rel=1e-12)
        assert sum(pool["fullest"]["bytes"] for pool in pools) == each["bytes"]["reserved"]
        for pool in pools:
            assert sum(pool["shares"].values()) == pool["bytes"]
            assert pool["fullest"]["bytes"] == pool["shares"]["reserved"]
            for when in ("fullest", "mean"):
                parts = [group[when]["blocks"] for group in pool["groups"]]
                assert sum(parts) == pytest.approx(pool[when]["blocks"], rel=1e-12)


def test_which_pool_is_full_first_is_a_table_where_there_are_several(run_cli, trace):
    given = ("--trace", trace, "--memory", "3GiB", "--engine", "paged,vllm")
    assert "full first" not in run_cli("replay", *MODEL, *given).stdout
    shown = run_cli("replay", "--model", "gemma-3-27b", *given).stdout
    assert "Which pool is full first" in shown
    assert "6 x Last(1024)" in shown


def test_tokens_and_blocks_give_the_same(run_cli, validated, trace):
    given = ("--trace", trace, "--memory", "10MiB", "--rate", "20", "--prefix-cache", "on")
    timed = ("seconds", "requests_per_s", "block_operations_per_s", "stepping")
    (by_block,) = replayed(run_cli, validated, *given)
    (by_token,) = replayed(run_cli, validated, *given, "--stepping", "tokens")
    assert by_block["stepping"] == "blocks"
    for name in timed:
        del by_block[name], by_token[name]
    assert by_block == by_token


def test_decoding_as_fast_as_memory_lets_it(run_cli, validated, trace, tmp_path):
    given = ("--trace", trace, "--memory", "1GiB", "--bandwidth")
    (found,) = replayed(run_cli, validated, *given, "1GB/s", "--weights", "10GB")
    assert found["memory_time"] == {
        "bytes_per_s": 1e9,
        "weights_bytes": 10**10,
        "weights_bytes_per_s": 1e9,
        "source": "given",
    }
    assert found["decode_tokens_per_s"] is None
    # The weights take ten seconds, and up to three sequences of 33 to 68 tokens of 128 KiB some ms.
    assert 10 + 34 * 131_072e-9 < found["mean_step_s"] < 10 + 3 * 69 * 131_072e-9

    measured = {
        "model": {"name": "llama-3-8b"},
        "engine": "paged",
        "device": {"ceilings": {"read": 2e9}},
        # 4 GB of weights take 2 of the 3 seconds: the cache ran at 1 GB/s.
        "step": {
            "bytes_read": 9 * 10**8,
            "bytes_written": 10**8,
            "weights_bytes": 4 * 10**9,
            "seconds": 3.0,
        },
    }
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"kind": "profile", "results": [measured]}))
    (of_profile,) = replayed(run_cli, validated, *given, str(profile), "--weights", "20GB")
    assert of_profile["memory_time"] == {
        "bytes_per_s": 1e9,
        "weights_bytes": 2 * 10**10,
        "weights_bytes_per_s": 2e9,
        "source": str(profile),
    }
    assert of_profile["mean_step_s"] == pytest.approx(found["mean_step_s"], rel=1e-9)


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
    notes = found["trace"]["notes"]
    assert "Left out: 1 row: no usable arrival time." in notes
    assert "Left out: 1 request after 800 s." in notes


def test_requests_that_are_drawn(run_cli, validated):
    settings = "requests=200,turns=4,prompt-tokens=100"
    given = ("--memory", "64GiB", "--rate", "2", "--seed", "5")
    words = ("--synthetic", settings, *given, "--prefix-cache", "on")
    (found,) = replayed(run_cli, validated, *words)
    assert found["requests"]["total"] == found["requests"]["completed"] == 200
    assert found["trace"]["format"] == "synthetic"
    assert found["trace"]["name"] == "synthetic requests=200,prompt-tokens=100,turns=4"
    assert "2 requests/s; 4 to a session" in found["trace"]["notes"][0]
    # Nothing is given up in so much memory: all full blocks that an earlier turn of the session had
    # in its prompt are found.
    source = Synthetic(requests=200, turns=4.0, prompt_tokens=100.0, rate=2.0, seed=5)
    hit, asked, prompts = 0, 0, {}
    for batch in source.batches():
        for session, prompt in zip(
            batch.session.tolist(), batch.prompt_tokens.tolist(), strict=True
        ):
            hit += prompts.get(session, 0) // 16 * 16
            asked += prompt
            prompts[session] = prompt
    assert found["hit_rate"] == hit / asked
    (short,) = replayed(run_cli, validated, "--synthetic", settings, *given, "--duration", "20")
    assert 0 < short["requests"]["total"] < 200
    assert short["requests"]["skipped_rows"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a replay is about a memory"),
        (("--memory", "1GiB", "--weights", "1GiB"), "--weights is taken off --device-memory"),
        (("--memory", "1GiB", "--bandwidth", "fast"), "'fast' is no rate"),
        (("--memory", "1GiB", "--bandwidth", "0GB/s"), "'0GB/s' is no rate"),
        (("--memory", "1GiB", "--bandwidth", __file__), "no profile"),
        (("--memory", "1GiB", "--bandwidth", "1TB/s", "--decode-tokens-per-s", "9"), "two clocks"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no source of them is given\nGive --trace PATH, or --synthetic"),
        (("--synthetic", "turns=x"), "--synthetic: turns=x cannot be"),
        (("--synthetic", "turns=2", "--trace", "x.csv"), "two sources of requests"),
        (("--synthetic", "turns=2", "--skip-bad-rows"), "--skip-bad-rows is about traces"),
        (("--synthetic", "turns=2", "--clocks", "each"), "--clocks is about traces"),
        (("--synthetic", "turns=2", "--rate", "1e-9"), "take more than 4e+09 s"),
        (("--synthetic", "turns=2", "--rate", "1e9", "--duration", "1e9"), "1e+18, too many"),
    ],
)
def test_sources_that_are_refused(fails, arguments, said):
    assert said in fails(2, "replay", *MODEL, "--memory", "1GiB", *arguments)


def test_what_an_engine_refuses_is_left_out_of_a_comparison(run_cli, trace):
    given = ("--trace", trace, "--memory", "1GiB", "--engine", "vllm,paged,orca-max")
    run = run_cli("replay", *MODEL, *given, "--block-size", "1,16,32", "--format", "json")
    assert run.exit_code == 0
    assert "vllm is left out for llama-3-8b in blocks of 1: " in run.stderr
    shown = [(r["engine"], r["block_size"]) for r in json.loads(run.stdout)["results"]]
    paged = [("paged", size) for size in (1, 16, 32)]
    assert shown == [("vllm", 16), ("vllm", 32), *paged, *3 * [("orca-max", None)]]


def test_why_requests_are_rejected(run_cli, trace):
    given = ("--trace", trace, "--engine", "orca-max")
    run = run_cli("replay", *MODEL, *given, "--memory", "1GiB", "--max-model-len", "60")
    assert "1 of 3 requests are longer than --max-model-len, 60 tokens" in run.stderr
    assert "could never fit" not in run.stderr
    run = run_cli("replay", *MODEL, *given, "--memory", "8MiB")
    assert "3 of 3 requests could never fit and were rejected: each is given room" in run.stderr


def test_encoder_positions_have_no_prefix_cache(fails, trace):
    model = ("--model", "whisper-tiny", "--encoder-tokens", 1500)
    given = ("--memory", "1GiB", "--prefix-cache", "on", "--trace", trace)
    assert "encoder" in fails(2, "replay", *model, *given)


@pytest.mark.parametrize("engine", ["paged", "vmm", "orca-max", "transformers"])
def test_bytes_that_cannot_be_counted(fails, trace, tmp_path, engine):
    heads = 2**31 - 1  # of 4,096 values, twice, in 2 layers: 2**46 bytes a token
    sizes = {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": 4096}
    config = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 256, **sizes}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    given = ("--config", path, "--engine", engine, "--memory", "512TiB", "--trace", trace)
    assert "cannot be divided into blocks" in fails(2, "replay", *given)


def test_a_trace_without_hashes_has_no_prefix_cache(fails, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,1,1\n")
    given = ("--memory", "1GiB", "--prefix-cache", "on", "--trace", trace)
    assert "no prefix hashes" in fails(2, "replay", *MODEL, *given)


def test_an_empty_trace_is_named(fails, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n")
    assert "trace.csv" in fails(2, "replay", *MODEL, "--memory", "1GiB", "--trace", trace)
