"""Bad configs, names, numbers and dtypes: one message, nothing on stdout, the right exit code."""

from __future__ import annotations

import json
import os

import pytest

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
}


@pytest.fixture
def refused(fails, tmp_path):
    """Size a config of that content; return the message, which must name the file."""

    def call(content: object) -> str:
        path = tmp_path / "the-config.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        message = fails(2, "size", "--config", path)
        assert "the-config.json" in message
        return message

    return call


@pytest.mark.parametrize(
    "path", ["missing.json", "missing/config.json", "\x1b[31m.json", "x" * 300, "."]
)
def test_config_that_is_not_there(fails, path):
    message = fails(2, "size", "--config", path)
    assert "--config" in message
    assert "\x1b" not in message


def test_config_of_a_folder_and_no_permission(fails, run_cli, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    run = run_cli("size", "--config", tmp_path, "--format", "json")
    assert json.loads(run.stdout)["results"][0]["bytes"]["per_token"] == 131_072
    if os.geteuid():
        (tmp_path / "config.json").chmod(0)
        assert "Permission denied" in fails(2, "size", "--config", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        json.dumps(LLAMA)[:60],
        json.dumps(LLAMA) + "}",
        b"\x80\xff\xfe" * 50,
        b"PK\x03\x04" + bytes(range(256)),
    ],
    ids=["empty", "zeros", "truncated", "trailing", "binary", "archive"],
)
def test_config_that_is_no_json(refused, content):
    message = refused(content)
    assert "not valid JSON" in message or "not a text file" in message


def test_config_that_is_huge(refused):
    assert "larger than 8388608 bytes" in refused(b" " * (8 * 2**20 + 1))


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"a":' * 100_000, '{"text_config":' * 200 + "{}" + "}" * 200],
    ids=["lists", "objects", "sections"],
)
def test_config_that_is_nested_too_deeply(refused, content):
    assert "deep" in refused(content)


@pytest.mark.parametrize("content", ["[1]", "null", "3", '"llama"'])
def test_config_that_is_no_object(refused, content):
    assert "JSON object" in refused(content)


@pytest.mark.parametrize("field", ["num_hidden_layers", "num_key_value_heads", "hidden_size"])
@pytest.mark.parametrize(
    "value",
    [-1, 0, 3.5, float("nan"), float("inf"), 1e30, 10**400, 2**31, "32", "", True, [8], {"n": 8}],
    ids=str,
)
def test_dimension_that_is_no_dimension(refused, field, value):
    message = refused(LLAMA | {field: value})
    assert field in message
    assert "whole number from 1 to 2147483647" in message


@pytest.mark.parametrize("digits", [4_000, 5_000])
def test_dimension_of_thousands_of_digits(refused, digits):
    message = refused(json.dumps(LLAMA)[:-1] + f', "head_dim": {"9" * digits}}}')
    assert len(message) < 500


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_key_value_heads": 5}, "32 attention heads are not a multiple of 5 KV heads"),
        ({"num_attention_heads": 24}, "4096 is not a multiple of 24 attention heads"),
        ({"num_hidden_layers": 20_000}, "20000 layers are more than the 10000"),
        (
            {"layer_types": ["full"] * 31 + ["telepathy"]},
            "layer_types[31] is 'telepathy'",
        ),
        ({"layer_types": ["full_attention"] * 3}, "names 3 layers, but there are 32"),
        ({"layer_types": "full_attention"}, "must be a list"),
        ({"layer_types": [{}] * 32}, "layer_types[0]"),
        ({"lru_width": 4096}, "lru_width changes what its layers keep"),
        ({"compress_ratios": [4]}, "compress_ratios changes what its layers keep"),
        ({"torch_dtype": 16}, "torch_dtype is 16; it must be text"),
        ({"model_type": 3}, "model_type is 3; it must be text"),
    ],
)
def test_config_that_contradicts_itself(refused, changed, said):
    assert said in refused(LLAMA | changed)


def test_config_of_an_unknown_dtype(fails, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"torch_dtype": "float7"}))
    message = fails(2, "size", "--config", tmp_path)
    assert "'float7'" in message
    assert "bfloat16" in message


def test_model_type_that_nobody_claims(refused):
    message = refused({"model_type": "deepseek_v4x", "hidden_size": 7168})
    assert "'deepseek_v4x' is claimed by no plugin" in message
    assert "model types are known" in message
    assert len(message) < 500, "not a list of all of them"
    assert "deepseek_v3" in message.split("Did you mean ")[1]
    assert "--arch" in message


def test_model_type_that_nobody_claims_but_whose_fields_say_enough(results, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"model_type": "my_llama"}))
    (result,) = results("size", "--config", tmp_path)
    assert (result["model"]["inferred"], result["bytes"]["per_token"]) == (True, 131_072)


def test_a_config_cannot_write_to_the_terminal(refused):
    hostile = "\x1b]0;owned\x07\nkvprof: fine"
    message = refused({"model_type": hostile, "num_hidden_layers": hostile})
    assert "\x1b" not in message
    assert "\nkvprof: fine" not in message


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["size"], ["no model is given", "--arch mla"]),
        (["size", "--arch", "mlaa"], ["'mlaa'", "Did you mean mla", "kvprof list architectures"]),
        (["size", "--arch", ""], ["''"]),
        (["size", "--arch", "mla,"], ["''"]),
        (["size", "--model", "llama3-8b"], ["'llama3-8b'", "Did you mean llama-3-8b"]),
        (["size", "--arch", "mla", "--engine", "pagd"], ["'pagd'", "Did you mean paged"]),
        (["check", "mla", "hibrid"], ["'hibrid'", "Did you mean hybrid"]),
        (["profile", "--arch", "mlaa"], ["'mlaa'"]),
        (["profile", "--arch", "mla", "--device", "gpu"], ["'gpu'", "cpu, cuda, cuda:N"]),
        (["profile", "--arch", "mla", "--device", "cuda:x"], ["'cuda:x'"]),
    ],
    ids=" ".join,
)
def test_names_that_there_are_not(fails, arguments, said):
    message = fails(2, *arguments)
    assert all(part in message for part in said)


def test_no_cuda_device(fails, run_cli):
    rows = json.loads(run_cli("list", "devices", "--format", "json").stdout)["results"]
    if any(row["backend"] == "cuda" and row["available"] for row in rows):
        pytest.skip("this machine has a CUDA device")
    reason = next(row["description"] for row in rows if row["backend"] == "cuda")
    message = fails(3, "profile", "--arch", "mla", "--device", "cuda")
    assert reason in message
    assert "--device cpu" in message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--tokens", bad) for bad in ("abc", "-1", "", "4k,", "1e5", "1.5", "9" * 20, "2t", "٣")),
        *(("--encoder-tokens", bad) for bad in ("-1", "x")),
        *(("--sequences", bad) for bad in ("0", "-1", "1,0", "2.5")),
        *(("--block-size", bad) for bad in ("0", "x", "16,")),
        *(("--memory", bad) for bad in ("10XB", "-1", "", "nan", "2000PiB")),
        ("--device-memory", "lots"),
        ("--weights", "heavy"),
        ("--max-model-len", "0"),
        *(("--cache-dtype", bad) for bad in ("float7", "")),
        ("--state-dtype", "fp9"),
    ],
)
def test_values_that_are_none(fails, option, value):
    message = fails(2, "size", "--arch", "mla", option, value)
    assert option in message
    assert repr(value.rpartition(",")[2]) in message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--time-budget", bad) for bad in ("0", "-1", "nan", "inf", "soon")),
        *(("--seed", bad) for bad in ("-1", "x", "4294967296")),
        *(("--cpus", bad) for bad in ("x", "", "1-", "0-99999999999999999999")),
        ("--stream-memory", "some"),
    ],
)
def test_values_of_profile_that_are_none(fails, option, value):
    assert option in fails(2, "profile", "--arch", "mla", option, value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arch", "mha", "--cache-dtype", "fp8_ds_mla"], "packs MLA caches only"),
        (["--arch", "ssm", "--state-dtype", "fp8_ds_mla"], "cannot hold a state"),
        (["--arch", "mla", "--engine", "paged", "--block-size", "2m"], "--block-size is 2097152"),
        (["--arch", "mla", "--memory", "1GiB", "--device-memory", "1GiB"], "give one of them"),
        (["--arch", "mla", "--device-memory", "1GiB", "--weights", "auto"], "leave nothing"),
        (["--model", "no-such", "--config", "no-such"], "no-such"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_values_that_do_not_go_together(fails, arguments, said):
    assert said in fails(2, "size", *arguments)


def test_weights_that_cannot_be_told(fails, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    message = fails(2, "size", "--config", tmp_path, "--weights", "auto", "--device-memory", "1GiB")
    assert "model.safetensors.index.json" in message


def test_one_bad_model_among_good_ones_leaves_stdout_empty(fails):
    assert "'nope'" in fails(2, "size", "--model", "gpt2-xl,nope", "--format", "json")
