"""What --model and --config may name: standard input, paths, GGUF files, and hostile configs."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path

import pytest

_WRITE = runpy.run_path(str(Path(__file__).parents[1] / "gguf_files" / "models.py"))
LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
}
PER_TOKEN = 131_072


def piped(run_cli, content: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*run_cli.command, *arguments],
        cwd=run_cli.folder,
        env=run_cli.env,
        input=content,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_standard_input(run_cli):
    words = ("size", "--config", "-", "--format", "json")
    done = piped(run_cli, json.dumps(LLAMA).encode(), *words)
    (result,) = json.loads(done.stdout)["results"]
    assert (done.returncode, done.stderr) == (0, b"")
    assert (result["model"]["name"], result["bytes"]["per_token"]) == ("stdin", PER_TOKEN)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", b"standard input is empty"),
        (b"{", b"not valid JSON"),
        (b"GGUF\x03", b"not valid JSON"),
        (b"\xff" * 99, b"not a text file"),
        (b" " * (8 * 2**20 + 1), b"larger than 8388608 bytes"),
    ],
)
def test_standard_input_that_holds_no_config(run_cli, content, said):
    done = piped(run_cli, content, "size", "--config", "-")
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr


def test_weights_of_standard_input_are_not_those_that_lie_around(run_cli):
    index = json.dumps({"metadata": {"total_size": 7}})
    (run_cli.folder / "model.safetensors.index.json").write_text(index)
    words = ("--device-memory", "80GiB", "--weights", "auto")
    packed = LLAMA | {"quantization_config": {"quant_method": "gptq"}}  # no count tells its bytes
    done = piped(run_cli, json.dumps(packed).encode(), "size", "--config", "-", *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--weights auto cannot tell" in done.stderr


def test_a_gguf_file(results, tmp_path):
    _WRITE["write_gguf"](tmp_path / "my-model.gguf", *_WRITE["MODELS"]["llama-3-8b"])
    for option in ("--config", "--model"):
        (result,) = results("size", option, tmp_path / "my-model.gguf")
        assert (result["model"]["name"], result["bytes"]["per_token"]) == ("my-model", PER_TOKEN)


def test_a_gguf_file_by_another_name(results, tmp_path):
    _WRITE["write_gguf"](tmp_path / "blob", *_WRITE["MODELS"]["llama-3-8b"])
    (result,) = results("size", "--config", tmp_path / "blob")
    assert result["bytes"]["per_token"] == PER_TOKEN


def test_a_gguf_file_cut_off_in_its_metadata(fails, tmp_path):
    path = _WRITE["write_gguf"](tmp_path / "cut.gguf", *_WRITE["MODELS"]["llama-3-8b"])
    path.write_bytes(path.read_bytes()[:300])
    message = fails(2, "size", "--config", path)
    assert "ends after 300 bytes, inside metadata entry" in message


@pytest.mark.parametrize("name", ["gguf", "huggingface_hub"])
def test_a_package_that_is_not_installed(fails, tmp_path, name):
    """A module of that name which cannot be imported hides the package."""
    (tmp_path / f"{name}.py").write_text("raise ImportError('hidden')")
    path = _WRITE["write_gguf"](tmp_path / "m.gguf", *_WRITE["MODELS"]["llama-3-8b"])
    words = ("--config", path) if name == "gguf" else ("--model", "org/name")
    message = fails(3, "size", *words, env={"PYTHONPATH": str(tmp_path)})
    extra = {"gguf": "gguf", "huggingface_hub": "hub"}[name]
    assert f"package {name}, which is not installed" in message
    assert f"pip install 'kvprof[{extra}]'" in message


def test_of_a_field_that_is_there_twice_the_last_counts(results, tmp_path):
    """As json and transformers read it."""
    text = json.dumps(LLAMA)[:-1] + ', "num_key_value_heads": 4}'
    (tmp_path / "config.json").write_text(text)
    (result,) = results("size", "--config", tmp_path)
    assert result["bytes"]["per_token"] == PER_TOKEN // 2


MANY = 1_000_000

HOSTILE = {
    "a list inside 900 others": {"layer_types": json.loads("[" * 900 + "]" * 900)},
    "an object inside 100 others": {"rope_scaling": json.loads('{"a":' * 100 + "1" + "}" * 100)},
    "a million layers": {"layer_types": ["full_attention"] * (MANY // 4)},
    "a million flags": {"hybrid_layer_pattern": [0] * MANY},
    "a million layer numbers": {"full_attn_idxs": list(range(MANY))},
    "an endless model type": {"model_type": "a" * MANY},
    "an endless dtype": {"torch_dtype": "b" * MANY},
    "an endless layer kind": {"layer_types": ["c" * MANY] * 4},
    "an endless number": {"hidden_size": "9" * MANY},
    "a list of a million objects": {"num_key_value_heads": [{}] * MANY},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_configs(fails, tmp_path, name):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA | HOSTILE[name]))
    message = fails(2, "size", "--config", path)
    assert len(message) < 2_000


def test_what_is_not_read_may_be_large(results, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA | {"id2label": {str(n): "x" for n in range(100_000)}}))
    (result,) = results("size", "--config", path)
    assert result["bytes"]["per_token"] == PER_TOKEN
