"""``kvprof size``: the figures of the issue, and one result for each combination asked for."""

from __future__ import annotations

import json

import pytest

BFLOAT16 = ("--cache-dtype", "bfloat16", "--state-dtype", "bfloat16")

REFERENCES = [
    # arch, per_token, growing_per_token, window, fixed_per_sequence; each in bytes by hand:
    ("mha", 307_200, 307_200, 0, 0),  # 48 layers x 2 x 25 heads x 64 x 2
    ("mqa", 20_480, 20_480, 0, 0),  # 40 layers x 2 x 1 head x 128 x 2
    ("gqa", 131_072, 131_072, 0, 0),  # 32 layers x 2 x 8 heads x 128 x 2
    ("mla", 70_272, 70_272, 0, 0),  # 61 layers x (512 + 64) x 2
    # 62 layers x 2 x 16 heads x 128 x 2 = 8,192 each; 10 grow, 52 keep 1,024 tokens
    ("sliding", 507_904, 81_920, 436_207_616, 0),
    ("ssm", 0, 0, 0, 12_451_840),  # 64 layers x 5,120 channels x (16 + 3) x 2
    # 64 layers x (80 heads x 64 x 128 + 3 x (5,120 + 2 x 128)) x 2
    ("ssm2", 0, 0, 0, 85_950_464),
    # 4 of 32 layers x 2 x 8 x 128 x 2; 28 x 8,192 channels x (16 + 3) x 2
    ("hybrid", 16_384, 16_384, 0, 8_716_288),
]


@pytest.mark.parametrize(("arch", "per_token", "growing", "window", "fixed"), REFERENCES)
def test_reference_figures(results, arch, per_token, growing, window, fixed):
    (result,) = results("size", "--arch", arch, "--tokens", "4096", *BFLOAT16)
    held = growing * 4096 + fixed + (window if window else 0)
    assert result["bytes"] == {
        "logical": held,
        "reserved": held,
        "per_token": per_token,
        "growing_per_token": growing,
        "window": window,
        "fixed_per_sequence": fixed,
    }
    assert all(type(size) is int for size in result["bytes"].values())
    assert sum(cache["bytes"] for cache in result["caches"]) == held
    assert set(result["waste"].values()) == {0}
    assert "plan" not in result


def test_the_fields_of_a_result_are_those_of_the_contract(results):
    (result,) = results("size", "--arch", "mla")
    assert {
        *("model", "engine", "cache_dtype", "state_dtype", "tokens", "encoder_tokens"),
        *("sequences", "block_size", "tensor_parallel", "bytes", "waste", "caches"),
    } <= set(result)
    assert {"name", "source", "model_type", "architecture", "plugin", "inferred"} <= set(
        result["model"]
    )
    assert list(result["waste"]) == [
        *("convention", "window_slack", "reserved_for_later", "never_used", "lookahead", "tail"),
        *("state_alignment", "padding", "group_padding"),
    ]
    assert result["caches"] == [
        {
            "name": "latent",
            "keep": "All",
            "layers": list(range(61)),
            "entry_tokens": 1,
            "tensors": [
                {"name": "latent", "shape": [512], "dtype": "bfloat16", "bytes": 1024},
                {"name": "k_rope", "shape": [64], "dtype": "bfloat16", "bytes": 128},
            ],
            "bytes_per_token": 70_272,
            "bytes": 70_272 * 4096,
        }
    ]
    assert (result["tokens"], result["sequences"], result["block_size"]) == (4096, 1, None)
    assert (result["engine"], result["encoder_tokens"]) == ("logical", 0)


def test_the_envelope(run_cli, validated):
    run = run_cli("size", "--arch", "mla", "--format", "json")
    document = validated(run.stdout)
    assert list(document) == [
        *("schema_version", "kind", "kvprof_version", "argv", "environment", "results")
    ]
    assert document["kind"] == "size"
    assert document["argv"] == ["kvprof", "size", "--arch", "mla", "--format", "json"]


def test_models_side_by_side(results):
    found = results(
        *("size", "--model", "gpt2-xl", "--model", "llama-3-8b", "--model", "deepseek-v3"),
        *("--tokens", "4096,128k"),
    )
    # per token 307,200, 131,072 and 70,272 B
    assert [(r["model"]["name"], r["tokens"], r["bytes"]["logical"]) for r in found] == [
        ("gpt2-xl", 4096, 1_258_291_200),
        ("gpt2-xl", 131_072, 40_265_318_400),
        ("llama-3-8b", 4096, 536_870_912),
        ("llama-3-8b", 131_072, 17_179_869_184),
        ("deepseek-v3", 4096, 287_834_112),
        ("deepseek-v3", 131_072, 9_210_691_584),
    ]


def test_every_axis_in_the_documented_order(results, tmp_path):
    """Model, then engine, tokens, sequences and block size; lists and repeats are the same."""
    (tmp_path / "one.json").write_text(json.dumps({"model_type": "gpt2", **GPT2}))
    lists = results(
        *("size", "--arch", "mqa,mla", "--model", "gpt2-xl", "--config", "one.json"),
        *("--engine", "logical,paged", "--tokens", "1,2", "--sequences", "3,4"),
        *("--block-size", "8,32"),
    )
    repeats = results(
        *("size", "--config", "one.json", "--model", "gpt2-xl", "--arch", "mqa", "--arch", "mla"),
        *("--engine", "logical", "--engine", "paged", "--tokens", "1", "--tokens", "2"),
        *("--sequences", "3", "--sequences", "4", "--block-size", "8", "--block-size", "32"),
    )
    assert lists == repeats
    points = [
        (r["model"]["name"], r["engine"], r["tokens"], r["sequences"], r["block_size"])
        for r in lists
    ]
    assert points == [
        (model, engine, tokens, sequences, block if engine == "paged" else None)
        for model in ("starcoder", "deepseek-v3", "gpt2-xl", "one")
        for engine in ("logical", "paged")
        for tokens in (1, 2)
        for sequences in (3, 4)
        for block in (8, 32)
    ]


GPT2 = {"n_layer": 2, "n_embd": 64, "n_head": 4}


def test_configs_by_list_and_by_repetition(results, tmp_path):
    for name in ("a.json", "b.json", "c,d.json"):
        (tmp_path / name).write_text(json.dumps({"model_type": "gpt2", **GPT2}))
    found = results("size", "--config", "a.json,b.json", "--config", "c,d.json")
    assert [r["model"]["name"] for r in found] == ["a", "b", "c,d"]
    assert {r["bytes"]["per_token"] for r in found} == {2 * 2 * 64 * 2}


def test_a_multimodal_config(results, tmp_path):
    text = {"model_type": "gemma3_text", "num_hidden_layers": 6, "num_attention_heads": 4}
    text |= {"num_key_value_heads": 2, "hidden_size": 64, "head_dim": 16, "sliding_window": 8}
    config = {"model_type": "gemma3", "torch_dtype": "bfloat16", "text_config": text}
    (tmp_path / "config.json").write_text("\ufeff" + json.dumps(config), encoding="utf-8")
    (result,) = results("size", "--config", tmp_path, "--tokens", "100")
    # 2 x 2 heads x 16 x 2 B = 128 B a layer: five keep 8 tokens, the sixth all.
    assert result["bytes"]["logical"] == 128 * (5 * 8 + 100)
    assert result["model"]["architecture"] == "sliding"


def test_paged_reserves_whole_blocks(results):
    found = results(
        *("size", "--arch", "mla", "--engine", "paged", "--tokens", "1,16,17,1000"),
        *("--sequences", "3", "--block-size", "16"),
    )
    for result, blocks in zip(found, (1, 1, 2, 63), strict=True):
        tail = blocks * 16 - result["tokens"]
        assert result["bytes"]["reserved"] == 3 * blocks * 16 * 70_272
        assert result["waste"].pop("tail") == 3 * tail * 70_272
        assert set(result["waste"].values()) == {0}
        assert result["plan"]["blocks_per_sequence"] == blocks
        assert result["plan"]["bytes_per_sequence"] == blocks * 16 * 70_272


@pytest.mark.parametrize("arch", [reference[0] for reference in REFERENCES])
def test_reserved_is_logical_plus_wastes(results, arch):
    for result in results(
        *("size", "--arch", arch, "--engine", "logical,paged", "--tokens", "0,1,1023,1025,3000"),
        *("--block-size", "1,16,100", "--sequences", "7"),
    ):
        sizes = result["bytes"]
        assert sizes["reserved"] == sizes["logical"] + sum(result["waste"].values())
        assert min(result["waste"].values()) >= 0


def test_a_plan_says_how_much_fits(results):
    size = ("size", "--arch", "mla", "--engine", "paged", "--tokens", "4k")
    (unbounded,) = results(*size)
    nulls = ("num_blocks", "max_concurrency", "capacity_tokens")
    assert [unbounded["plan"][name] for name in nulls] == [None] * 3
    (bounded,) = results(*size, "--memory", "1GiB")
    # 2**30 // (16 x 70,272) = 954 blocks; a sequence takes 256.
    assert bounded["plan"]["num_blocks"] == 954
    assert bounded["plan"]["bytes_per_block"] == 16 * 70_272
    assert bounded["plan"]["max_concurrency"] == 954 / 256
    assert bounded["plan"]["capacity_tokens"] == 954 * 16
    (device,) = results(*size, "--device-memory", "3GiB", "--weights", "2GiB")
    assert device["plan"] == bounded["plan"]
    (longer,) = results(*size, "--memory", "1GiB", "--max-model-len", "8k")
    assert longer["plan"]["max_concurrency"] == 954 / 512
    assert longer["plan"]["blocks_per_sequence"] == 512
    assert longer["bytes"] == bounded["bytes"]


def test_which_pool_fills_first(results, run_cli):
    # Jamba 1.5 Mini: 256 blocks of 262,144 B and a state of 8,716,288 B for 4,096 tokens; twice.
    size = ("size", "--model", "jamba-1.5-mini", "--engine", "paged", "--memory", "151650304")
    (result,) = results(*size)
    shown = [
        (p["tokens"], p["sequences_that_fit"], p["fills_first"], p["idle_bytes"])
        for p in result["balance"]
    ]
    assert shown == [
        (1024, 2, ["Once"], (512 - 2 * 64) * 262_144),
        (4096, 2, ["Once", "All"], 0),
        (32_768, 0, ["All"], 2 * 8_716_288),
        (131_072, 0, ["All"], 2 * 8_716_288),
    ]
    assert result["balance"][0]["groups"][1] == {
        "keep": "All",
        "caches": ["attention"],
        "layers": 4,
        "blocks": 512,
        "needed": 128,
        "fill": 0.25,
    }
    assert "Which fills first: jamba-1.5-mini" in run_cli(*size).stdout
    assert "Which fills first" not in run_cli(*size[:-2]).stdout
    (one_pool,) = results("size", "--arch", "gqa", "--engine", "paged", "--memory", "1GiB")
    assert "balance" not in one_pool


@pytest.mark.parametrize(
    ("arch", "dtype", "per_token"),
    [
        ("gqa", "float32", 262_144),
        ("gqa", "float16", 131_072),
        ("gqa", "bf16", 131_072),
        ("gqa", "fp8", 65_536),
        ("gqa", "fp8_e5m2", 65_536),
        ("gqa", "int8", 65_536),
        ("gqa", "nvfp4", 36_864),  # 65,536 elements x 0.5625 B
        ("mla", "fp8_ds_mla", 61 * 656),  # 512 + 4 scales x 4 + 64 x 2
    ],
)
def test_cache_dtypes(results, arch, dtype, per_token):
    (result,) = results("size", "--arch", arch, "--cache-dtype", dtype)
    assert result["bytes"]["per_token"] == per_token


def test_models_are_named_by_alias_and_in_any_case(results):
    found = results("size", "--model", "GPT2-XL", "--model", "gpt2-1.5b")
    assert [result["model"]["name"] for result in found] == ["gpt2-xl", "gpt2-xl"]


def test_explain_says_which_fields_led_to_which_cache(results, run_cli):
    (result,) = results("size", "--arch", "mla", "--explain")
    (cache,) = result["caches"]
    assert {"field": "kv_lora_rank", "value": 512, "default": False} in cache["explain"]
    assert "kv_lora_rank=512" in run_cli("size", "--arch", "mla", "--explain").stdout
    (silent,) = results("size", "--arch", "mla")
    assert "explain" not in silent["caches"][0]
