"""``kvprof check``: what may be given together, and a config against a real run."""

import importlib.util
import json
import subprocess

import pytest

from kvprof.registry import registry

INSTALLED = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
TINY = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 128,
}


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    return path


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "neither NAME nor --config is given"),
        (["mla", "--config", "x", "--against", "transformers"], "both NAME and --config"),
        (["--config", "x"], "--config and --against belong together"),
        (["mla", "--against", "transformers"], "--config and --against belong together"),
    ],
)
def test_what_is_to_be_checked_must_be_clear(fails, arguments, why):
    assert why in fails(2, "check", *arguments)


@pytest.mark.skipif("transformers" not in registry().engines, reason="no engine `transformers`")
@pytest.mark.skipif(INSTALLED, reason="transformers and torch are installed")
def test_the_missing_extra_is_named(fails, tiny):
    message = fails(3, "check", "--config", tiny, "--against", "transformers")
    assert "pip install 'kvprof[transformers]'" in message


@pytest.mark.skipif("transformers" not in registry().engines, reason="no engine `transformers`")
@pytest.mark.skipif(not INSTALLED, reason="transformers and torch are not installed")
def test_a_config_that_agrees(results, tiny):
    rows = results("check", "--config", tiny, "--against", "transformers")
    assert [row["tokens"] for row in rows] == [12, 40, 128]
    # Heads of 64 // 4 = 16 are halved: (K + V) x 2 x 8 x 2 B = 64 B per token.
    layers = [{"layer": n, "expected_bytes": 768, "measured_bytes": 768} for n in (0, 1)]
    assert rows[0]["layers"] == layers
    assert all(row["agrees"] for row in rows)


@pytest.mark.skipif("transformers" not in registry().engines, reason="no engine `transformers`")
@pytest.mark.skipif(not INSTALLED, reason="transformers and torch are not installed")
def test_a_config_of_standard_input(run_cli):
    words = ("check", "--config", "-", "--against", "transformers", "--format", "json")
    config = json.dumps(TINY)
    done = subprocess.run(
        [*run_cli.command, *words],
        cwd=run_cli.folder,
        env=run_cli.env,
        input=config,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [row["model"] for row in json.loads(done.stdout)["results"]] == ["stdin"] * 3
