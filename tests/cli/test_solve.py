"""``kvprof solve``: answers, the contract of its JSON, and what each question refuses."""

from __future__ import annotations

import json

import pytest

CONTEXT = ("solve", "context", "--model", "llama-3-8b", "--memory", "1GiB")


def test_the_fields_of_a_result(results):
    # 131,072 B a token: 1 GiB is 8,192 tokens.
    (result,) = results(*CONTEXT)
    assert result.pop("model")["name"] == "llama-3-8b"
    row = {"about": "fit", "sequences": 1, "memory_bytes": 2**30}
    assert result == {
        "engine": "paged",
        "cache_dtype": "bfloat16",
        "state_dtype": "bfloat16",
        "question": "context",
        "given": {"sequences": 1, "memory_bytes": 2**30, "block_size": 16},
        "answer": 8192,
        "unit": "tokens",
        "unbounded": False,
        "device_memory_bytes": None,
        "evidence": [
            row | {"tokens": 8191, "needed_bytes": 512 * 2**21, "fits": True},
            row | {"tokens": 8192, "needed_bytes": 512 * 2**21, "fits": True},
            row | {"tokens": 8193, "needed_bytes": 513 * 2**21, "fits": False},
        ],
        "note": None,
    }


def test_the_envelope(run_cli, validated):
    document = validated(run_cli(*CONTEXT, "--format", "json").stdout)
    assert document["kind"] == "solve"
    assert document["argv"][:3] == ["kvprof", "solve", "context"]


def test_one_result_for_each_combination_in_the_documented_order(results):
    found = results(
        *("solve", "memory", "--arch", "mla", "--model", "gpt2", "--engine", "logical,paged"),
        *("--tokens", "1,2", "--sequences", "3,4", "--block-size", "8", "--block-size", "32"),
    )
    points = [
        (r["model"]["name"], r["engine"], g["tokens"], g["sequences"], g.get("block_size"))
        for r in found
        for g in (r["given"],)
    ]
    assert points == [
        (model, engine, tokens, sequences, block if engine == "paged" else None)
        for model in ("deepseek-v3", "gpt2")
        for engine in ("logical", "paged")
        for tokens in (1, 2)
        for sequences in (3, 4)
        for block in (8, 32)
    ]
    per_token = {"deepseek-v3": 70_272, "gpt2": 36_864}
    for (model, _, tokens, sequences, block), result in zip(points, found, strict=True):
        assert result["answer"] == sequences * (block or tokens) * per_token[model]


def test_the_memory_of_a_device(results):
    # Llama 3 8B: 4,096 tokens are 2**29 B.
    memory = ("solve", "memory", "--model", "llama-3-8b", "--tokens", "4k", "--weights")
    (auto,) = results(*memory, "auto")
    (given,) = results(*memory, "3GiB")
    assert (given["answer"], given["device_memory_bytes"]) == (2**29, 3 * 2**30 + 2**29)
    assert auto["device_memory_bytes"] == 2**29 + auto["given"]["weights_bytes"]
    back = ("solve", "sequences", "--model", "llama-3-8b", "--tokens", "4k", "--weights", "3GiB")
    for device, fits in ((given["device_memory_bytes"], 1), (given["device_memory_bytes"] - 1, 0)):
        (result,) = results(*back, "--device-memory", device)
        assert result["answer"] == fits
        assert result["given"]["memory_bytes"] == device - 3 * 2**30


def test_answers_that_are_no_number(results):
    none, states = results("solve", "context", "--model", "gpt2,mamba-2.8b", "--memory", "100KiB")
    assert (none["answer"], states["answer"]) == (0, 0)
    (unbounded,) = results("solve", "context", "--model", "mamba-2.8b", "--memory", "1GiB")
    assert (unbounded["answer"], unbounded["unbounded"]) == (None, True)
    assert "states only" in unbounded["note"]


def test_block_sizes(results):
    first, second = results(
        *("solve", "block-size", "--arch", "gqa", "--lengths", "1x1000", "--lengths", "2x16,1x512"),
        *("--block-size", "16,1024,16"),
    )
    # 63 blocks of 16 are 1,008 slots; then 34 blocks of 16 have none left.
    assert (first["question"], first["unit"], first["answer"]) == ("block_size", "tokens", 16)
    assert first["given"] == {
        "lengths": [{"sequences": 1, "tokens": 1000}],
        "block_sizes": [16, 1024],
    }
    assert [row["about"] for row in first["evidence"]] == ["block_size"] * 2
    assert [row["waste"]["tail"] for row in second["evidence"]] == [0, (3 * 1024 - 544) * 131_072]
    by_tokens = results("solve", "block-size", "--arch", "gqa", "--tokens", "5,6", "--sequences", 7)
    assert [r["given"]["lengths"] for r in by_tokens] == [
        [{"sequences": 7, "tokens": tokens}] for tokens in (5, 6)
    ]
    assert [row["block_size"] for row in by_tokens[0]["evidence"]] == [16, 32, 64, 128, 256]


def test_dtypes_and_configs(results, tmp_path):
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": 50}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (result,) = results(
        *("solve", "context", "--config", tmp_path, "--engine", "logical", "--memory", 25_600),
        *("--cache-dtype", "int8"),
    )
    # 2 layers x 2 x 64 x 1 B
    assert (result["answer"], result["cache_dtype"]) == (100, "int8")
    assert "50 that the model is made for" in result["note"]


@pytest.mark.parametrize("format_", ["table", "markdown", "csv"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("context", "--memory", "1GiB"),
        ("sequences", "--memory", "1GiB", "--tokens", "4k"),
        ("memory", "--tokens", "4k", "--weights", "auto"),
        ("block-size", "--lengths", "3x100,1x7"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_format(run_cli, arguments, format_):
    models = ("--model", "llama-3-8b,gemma-3-27b")
    run = run_cli("solve", *arguments, *models, "--format", format_)
    assert (run.exit_code, run.stderr) == (0, "")
    assert "llama-3-8b" in run.stdout


def test_the_table_shows_the_answer_to_the_unit_and_its_evidence(run_cli):
    shown = run_cli(*CONTEXT).stdout
    assert "8,192 tokens" in shown
    assert [line.split()[-1] for line in shown.splitlines() if " 1,073,741,824 " in line] == [
        *("yes", "yes", "NO")
    ]


MODEL = ("--model", "llama-3-8b")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("context",), "the question 'context' is about a memory, and none is given"),
        (("sequences", "--tokens", "4k"), "'sequences' is about a memory, and none is given"),
        (("sequences", "--memory", "1GiB"), "'sequences' starts from a length"),
        (("memory",), "'memory' starts from a length, and none is given"),
        (("block-size",), "--lengths, e.g. 32x512,8x4k, or --tokens"),
        (("memory", "--tokens", "0"), "--tokens is 0"),
        (("block-size", "--tokens", "4,0"), "--tokens is 0"),
        (("memory", "--tokens", "4k", "--memory", "1GiB"), "--memory cannot be given"),
        (("memory", "--tokens", "4k", "--device-memory", "1GiB"), "--weights alone gives"),
        (("context", "--memory", "1GiB", "--tokens", "4k"), "--tokens cannot be given"),
        (("sequences", "--memory", "1GiB", "--sequences", "4"), "--sequences cannot be given"),
        (("context", "--memory", "1GiB", "--lengths", "1x1"), "--lengths cannot be given"),
        (("block-size", "--tokens", "4", "--memory", "1GiB"), "does not depend on the memory"),
        (("block-size", "--tokens", "4", "--lengths", "1x4"), "two ways to say one thing"),
        (("block-size", "--sequences", "4", "--lengths", "1x4"), "--sequences and --lengths"),
        (("block-size", "--lengths", "4k"), "--lengths: '4k' is not a number of sequences"),
        (("block-size", "--tokens", "4", "--engine", "logical"), "'logical' places nothing"),
        (("block-size", "--tokens", "4", "--block-size", "2m"), "--block-size is 2097152"),
        (("context", "--memory", "1GiB", "--weights", "1GiB"), "--device-memory, which is not"),
        (("context", "--memory", "1GiB", "--device-memory", "1GiB"), "give one of them"),
        (("context", "--device-memory", "1GiB", "--weights", "1GiB"), "leave nothing"),
        (("context", "--memory", "1GiB", "--engine", "pagd"), "pagd"),
        (("kontext", "--memory", "1GiB"), "'kontext' is not one of 'context', 'sequences'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_refused(fails, arguments, said):
    message = fails(2, "solve", *arguments, *MODEL)
    assert said in message
    assert message.count("\n") >= 1


def test_a_question_and_a_model_are_needed(fails):
    assert "context" in fails(2, "solve")
    assert "no model is given" in fails(2, "solve", "context", "--memory", "1GiB")
