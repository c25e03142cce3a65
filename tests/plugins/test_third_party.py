"""Third-party distributions, really installed, as the command line beside them shows them."""

from __future__ import annotations

import json

import pytest

PLUGIN = "example-cla (kvprof-example-plugin 0.3.1)"
BROKEN = {
    "broken-call": "ZeroDivisionError",
    "broken-claims": "model_types must be a collection of model types",
    "broken-exit": "this plugin needs a licence",
    "broken-import": "the accelerator library is not installed",
    "broken-missing": "No module named 'kvprof_broken.is_not_there'",
    "broken-model": "Expected `str`, got `int` - at `$.date`",
    "broken-object": "implements no hook",
    "broken-offer": "which is no Architecture",
    "broken-signature": "Argument(s) {'config'}",
    "broken-typo": "unknown hook 'kvprof_architecture'",
}
"""The plugins of kvprof-broken-plugin that do not load, and what the warning says of each."""

VERBS = (
    ("size", "--arch", "mla"),
    ("size", "--arch", "example-cla", "--engine", "paged"),
    ("list", "architectures"),
    ("list", "engines"),
    ("list", "models"),
    ("list", "devices"),
    ("check", "mla"),
    ("doctor",),
    ("profile", "--arch", "example-cla", "--stream-memory", "64MiB", "--time-budget", "0.5"),
)


def results(run):
    return json.loads(run.stdout)["results"]


def test_list_names_plugin_distribution_and_version(example):
    run = example.kvprof("list", "architectures", "--format", "json")
    assert (run.exit_code, run.stderr) == (0, "")
    row = next(row for row in results(run) if row["name"] == "example-cla")
    assert (row["plugin"], row["reference"]) == (PLUGIN, "example-cla-64l")
    assert json.loads(run.stdout)["environment"]["plugins"] == [PLUGIN]
    assert "kvprof-example-plugin 0.3.1" in example.kvprof("list", "architectures").stdout
    assert PLUGIN in example.kvprof("doctor").stdout


@pytest.mark.parametrize("chosen", [("--arch", "example-cla"), ("--model", "example-cla-64l")])
def test_size(example, chosen):
    run = example.kvprof("size", *chosen, "--tokens", "1000", "--sequences", "3", "--format=json")
    assert (run.exit_code, run.stderr) == (0, "")
    (result,) = results(run)
    # 32 of 64 layers own (K + V) x 8 heads x 80 elements x 2 B = 2,560 B: 81,920 B per token.
    assert result["bytes"] == {
        "logical": 245_760_000,
        "reserved": 245_760_000,
        "per_token": 81_920,
        "growing_per_token": 81_920,
        "window": 0,
        "fixed_per_sequence": 0,
    }
    assert result["caches"][0]["layers"] == list(range(0, 64, 2))
    assert (result["model"]["plugin"], result["model"]["inferred"]) == (PLUGIN, False)


def test_size_of_a_config_that_only_the_plugin_reads(example, tmp_path):
    config = {
        "model_type": "example_cla",
        "num_hidden_layers": 5,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "cla_share_factor": 3,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = example.kvprof("size", "--config", tmp_path, "--tokens", "1", "--format", "json")
    # Layers 0 and 3 own 2 x 4 heads x 16 x 2 B.
    assert results(run)[0]["bytes"]["logical"] == 2 * 256
    config["cla_share_factor"] = 0
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = example.kvprof("size", "--config", tmp_path)
    assert (run.exit_code, run.stdout) == (2, "")
    assert run.stderr.startswith("kvprof: error: ")
    assert "cla_share_factor is 0" in run.stderr


def test_a_profile_streams_what_shared_layers_read(example):
    run = example.kvprof(
        *("profile", "--arch", "example-cla", "--stream-memory", "128MiB"),
        *("--time-budget", "1", "--tokens", "256", "--sequences", "2", "--format", "json"),
    )
    assert run.exit_code == 0, run.stderr
    (result,) = results(run)
    # 64 layers read, 32 write; 2 sequences x 256 tokens x 2,560 B.
    assert result["step"]["bytes_read"] == 64 * 2 * 256 * 2560
    assert result["step"]["bytes_written"] == 32 * 2 * 2560


def test_check_passes(example):
    run = example.kvprof("check", "example-cla", "--format", "json")
    assert (run.exit_code, run.stderr) == (0, "")
    assert results(run)[0] == {
        "architecture": "example-cla",
        "plugin": PLUGIN,
        "conforms": True,
        "problems": [],
    }


def test_strict_mode_accepts_sound_plugins(example):
    run = example.kvprof("list", "engines", KVPROF_STRICT_PLUGINS="1")
    assert (run.exit_code, run.stderr) == (0, "")


def test_its_own_tests_pass(example):
    source = example.sources["example"]
    run = example.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=source)
    assert run.exit_code == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_broken_plugins_only_cause_warnings(broken, verb):
    run = broken.kvprof(*verb, "--format", "json")
    assert run.exit_code == 0, run.stderr
    assert results(run)
    for name, reason in BROKEN.items():
        assert run.stderr.count(f"{name} (kvprof-broken-plugin 6.6.6)") == 1
        assert reason in run.stderr
    assert run.stderr.count("kvprof: warning: ") == len(BROKEN)
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("verb", [("--help",), ("--version",), ("schema",)], ids=" ".join)
def test_what_needs_no_plugin_loads_none(broken, verb):
    run = broken.kvprof(*verb)
    assert (run.exit_code, run.stderr) == (0, "")


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_strict_mode_makes_the_first_broken_plugin_an_error(broken, verb):
    run = broken.kvprof(*verb, "--format", "json", KVPROF_STRICT_PLUGINS="1")
    assert (run.exit_code, run.stdout) == (4, "")
    assert run.stderr.startswith("kvprof: error: the plugin broken-")
    assert run.stderr.count("kvprof-broken-plugin 6.6.6") == 1
    assert run.stderr.count("kvprof: ") == 1
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("off", ["", "0"])
def test_strict_mode_can_be_off(broken, off):
    assert broken.kvprof("list", "engines", KVPROF_STRICT_PLUGINS=off).exit_code == 0


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        (
            "wrong-layout",
            [
                "layer 0, cache 'attention': k: dimension head_dim is 0",
                "layer 2 uses the cache 'attention' of layer 1, which owns none of that key",
                "layer 1, cache 'sliding_attention': no layer ever does append to it",
                "layer 1, cache 'sliding_attention': no layer ever does read to it",
            ],
        ),
        ("bad-reference", ["its reference is in no catalogue"]),
        ("buggy-layout", ["layout() raised KeyError: 'no_such_field'"]),
        ("malformed-layout", ["the layout is not made of"]),
    ],
)
def test_check_names_every_reason(broken, name, reasons):
    run = broken.kvprof("check", "mla", name, "--format", "json")
    assert run.exit_code == 1
    sound, wrong = results(run)
    assert (sound["architecture"], sound["conforms"]) == ("mla", True)
    assert (wrong["architecture"], wrong["conforms"]) == (name, False)
    assert wrong["plugin"] == "broken-layout (kvprof-broken-plugin 6.6.6)"
    assert "kvprof: error: 1 of 2 do not conform:\n" in run.stderr
    for reason in reasons:
        assert any(reason in problem for problem in wrong["problems"])
        assert reason in run.stderr


@pytest.mark.parametrize(
    "name", ["wrong-layout", "bad-reference", "buggy-layout", "malformed-layout"]
)
def test_using_a_wrong_layout_is_a_plugin_error(broken, name):
    run = broken.kvprof("size", "--arch", name)
    assert (run.exit_code, run.stdout) == (4, "")
    message = run.stderr[run.stderr.index("kvprof: error: ") :]
    assert "broken-layout (kvprof-broken-plugin 6.6.6)" in message


@pytest.mark.parametrize("chosen", ["--model=llama-3-8b", "--config=config.json"])
def test_a_third_party_claim_wins_over_a_built_in_one(rival, tmp_path, chosen):
    config = {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "hidden_size": 4096,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = rival.run("-m", "kvprof", "size", chosen, "--format", "json", cwd=tmp_path)
    assert (run.exit_code, run.stderr) == (0, "")
    (result,) = results(run)
    assert result["model"]["plugin"] == "rival (kvprof-rival-plugin 2.0)"
    assert result["bytes"]["per_token"] == 32 * 2 * 128 * 2  # one head of 128 in 32 layers


def test_the_built_in_can_still_be_named(rival):
    (result,) = results(rival.kvprof("size", "--arch", "gqa", "--format", "json"))
    assert result["model"]["plugin"].startswith("gqa (kvprof ")
    assert result["bytes"]["per_token"] == 131_072


def test_a_third_party_engine_of_a_built_in_name_wins(rival):
    rows = results(rival.kvprof("list", "engines", "--format", "json"))
    assert {row["name"]: row["plugin"] for row in rows}[
        "paged"
    ] == "rival (kvprof-rival-plugin 2.0)"
    run = rival.kvprof("size", "--arch", "gqa", "--engine", "paged", "--tokens=1", "--format=json")
    (result,) = results(run)
    assert (result["block_size"], result["bytes"]["reserved"]) == (128, 128 * 131_072)
    assert result["waste"]["tail"] == 127 * 131_072
