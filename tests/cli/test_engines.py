"""``--engine vllm`` and ``sglang`` as a user calls them, their settings, and logs."""

from __future__ import annotations

import json

LOG = """\
INFO 11-24 [core.py:140] Initializing a V1 LLM engine (v0.33.0) with config: model='google/gemma', \
dtype=torch.bfloat16, max_seq_len=4096, tensor_parallel_size=1, kv_cache_dtype=auto, \
enable_prefix_caching=True
WARNING 11-24 [planning.py:520] Add 8 padding layers, may waste at most 15.38% KV cache memory
INFO 11-24 [gpu_worker.py:773] Available KV cache memory: 40.0 GiB
INFO 11-24 [utils.py:1147] GPU KV cache size: 74,640 tokens, Maximum concurrency for 4,096 \
tokens per request: 18.22x
"""


def test_the_plan_of_the_contract(results):
    # gemma-3-27b: 52 windowed layers in six groups of 10 or fewer, 10 full. A block id is 10 layers
    # of 16 x 8,192 B. A sequence of 4,096 tokens: 256 blocks, 257 of each windowed group.
    (result,) = results(
        *("size", "--model", "gemma-3-27b", "--engine", "vllm", "--memory", "40GiB"),
        *("--tokens", "12", "--max-model-len", "4096"),
    )
    plan = result["plan"]
    assert plan["bytes_per_block"] == 10 * 131_072
    assert plan["num_blocks"] == 40 * 2**30 // 1_310_720 == 32_768
    assert plan["blocks_per_sequence"] == 6 * 257 + 256
    assert plan["max_concurrency"] == 32_768 / 1798
    assert plan["capacity_tokens"] == 32_768 * 4096 // 1798
    assert result["fits_one"] is True
    assert [group["padding_layers"] for group in plan["groups"]] == [1, 1, 1, 1, 2, 2, 0]
    assert result["bytes"]["reserved"] == 7 * 1_310_720
    assert result["waste"]["group_padding"] == 8 * 131_072
    assert {tuple(point["fills_first"]) for point in result["balance"]} == {("all groups",)}
    assert "log" not in result


def test_engines_side_by_side(results):
    found = results(
        *("size", "--model", "qwen3-next-80b", "--engine", "logical,paged,vllm,sglang"),
        *("--memory", "40GiB", "--tokens", "12"),
    )
    assert [result["engine"] for result in found] == ["logical", "paged", "vllm", "sglang"]
    for result in found:
        named = result["bytes"]["logical"] + sum(result["waste"].values())
        assert result["bytes"]["reserved"] == named


def test_settings_of_engines(results, fails):
    size = ("size", "--model", "qwen3-next-80b", "--engine", "vllm", "--tokens", "12")
    (result,) = results(*size, "--engine-option", "vllm.prefix_caching=off")
    assert result["engine_options"] == {"prefix_caching": "off"}
    assert result["bytes"]["reserved"] == 51 * 2**20
    assert "ENGINE" not in fails(2, *size, "--engine-option", "vllm.prefix_caching=maybe")
    assert "no such setting" in fails(2, *size, "--engine-option", "vllm.speed=on")
    assert "is not asked here" in fails(2, *size, "--engine-option", "sglang.radix_cache=off")
    assert "vllm.prefix_caching=off" in fails(2, *size, "--engine-option", "prefix_caching")


def test_ranks_drafts_and_batches(run_cli, fails):
    size = ("size", "--model", "gpt-oss-20b", "--engine", "vllm", "--tokens", "32k")
    run = run_cli(
        *(*size, "--tensor-parallel", "8", "--speculative", "2"),
        *("--max-batched-tokens", "2k", "--format", "json"),
    )
    (result,) = json.loads(run.stdout)["results"]
    assert (result["tensor_parallel"], result["speculative"]) == (8, 2)
    windowed, full = result["plan"]["groups"]
    assert windowed["page_bytes"] == 16 * 2 * 64 * 2, "one head of eight"
    assert windowed["blocks_per_sequence"] == -(-(127 + 2 * 2048) // 16) + 1
    assert full["blocks_per_sequence"] == 2048
    assert "--tensor-parallel 3 does not divide" in fails(2, *size, "--tensor-parallel", "3")
    assert "at most 1024" in fails(2, *size, "--speculative", "2k")


def test_too_little_memory_is_a_warning(run_cli):
    run = run_cli(
        *("size", "--model", "llama-3-8b", "--engine", "vllm", "--memory", "1GiB"),
        *("--tokens", "8k", "--format", "json"),
    )
    assert run.exit_code == 0
    assert "warning: vllm holds no sequence of 8,192 tokens of llama-3-8b" in run.stderr
    assert '"fits_one": false' in run.stdout


def test_a_log_against_the_plan(run_cli, results):
    (run_cli.folder / "vllm.log").write_text(LOG, encoding="utf-8")
    call = ("size", "--model", "gemma-3-27b", "--check-log", "vllm.log")
    (result,) = results(*call)
    assert result["engine"] == "vllm"
    assert result["log"]["agrees"] is True
    assert result["log"]["engine_version"] == "0.33.0"
    figures = {figure["name"]: figure["predicted"] for figure in result["log"]["figures"]}
    # 32,768 blocks of 1,798: 18.2247 sequences of 4,096 tokens; 40.0 GiB may be 39.995.
    assert figures == {
        "capacity_tokens": "74648",
        "max_concurrency": "18.22",
        "padding_layers": "8 (15.38 %)",
    }
    table = run_cli(*call)
    assert table.exit_code == 0
    assert "all 3 figures agree" in table.stdout
    wrong = run_cli(*call, "--max-batched-tokens", "512", "--tokens", "12")
    assert wrong.exit_code == 0
    assert "2 of 3 figures differ: capacity_tokens, max_concurrency" in wrong.stdout


def test_logs_that_say_nothing(run_cli, fails):
    (run_cli.folder / "other.log").write_text("all is well\n", encoding="utf-8")
    call = ("size", "--model", "gemma-3-27b", "--check-log")
    assert "none of its lines is vLLM's" in fails(2, *call, "other.log")
    assert "cannot be read" in fails(2, *call, "absent.log")
    several = ("size", "--arch", "mha,mla", "--check-log", "other.log")
    assert "one model on one engine" in fails(2, *several)


def test_solving_with_every_engine(results):
    for engine in ("logical", "paged", "vllm", "sglang"):
        (result,) = results(
            *("solve", "sequences", "--model", "llama-3-8b", "--tokens", "4k"),
            *("--memory", "40GiB", "--engine", engine, "--tensor-parallel", "2"),
        )
        # 4,096 tokens of 65,536 B on each of two ranks: 256 MiB.
        assert result["answer"] == 160
        assert result["given"]["tensor_parallel"] == 2


def test_profiles_of_what_the_allocator_follows(results, fails):
    profile = ("profile", "--stream-memory", "300MiB", "--time-budget", "1", "--engine", "vllm")
    assert "keep every entry" in fails(2, *profile, "--arch", "sliding")
    assert "keep every entry" in fails(2, *profile, "--arch", "hybrid")
    (result,) = results(*profile, "--model", "qwen2.5-0.5b", "--operations", "step")
    pool = result["fragmentation"]["pool"]
    assert pool["reserved_blocks"] == result["plan"]["bytes_per_block"]
    assert pool["capacity"] == sum(pool.values()) - pool["capacity"]
    blocks = result["allocation"]["blocks"]
    assert result["plan"]["num_blocks"] == blocks + 1


def test_an_engine_that_refuses_is_left_out_of_a_comparison(run_cli, fails):
    # No latent, and 4-bit values with scales: of these three the logical engine alone has that.
    size = ("size", "--model", "llama-3-8b", "--cache-dtype", "int4_per_token_head")
    run = run_cli(*size, "--engine", "logical,transformers", "--format", "json")
    assert run.exit_code == 0
    assert [r["engine"] for r in json.loads(run.stdout)["results"]] == ["logical"]
    assert "kvprof: warning: transformers is left out for llama-3-8b" in run.stderr
    assert "no such cache" in run.stderr
    message = fails(2, *size, "--engine", "transformers")
    assert "It has auto, float32, float16, bfloat16." in message
    fails(2, *size, "--engine", "transformers,transformers")


def test_a_sequence_longer_than_the_longest_is_refused(results, fails):
    size = ("size", "--model", "llama-3-8b", "--engine", "vllm", "--max-model-len", "2k")
    message = fails(2, *size, "--tokens", "4k")
    assert "--tokens 4096 is more than --max-model-len 2048" in message
    assert results(*size)[0]["tokens"] == 2048, "what is not said follows what is"


def test_options_that_do_nothing_are_said(run_cli):
    run = run_cli("size", "--model", "llama-3-8b", "--speculative", "2")
    assert run.exit_code == 0
    assert "note: llama-3-8b has no draft layers of its own" in run.stderr
    assert run_cli("size", "--model", "deepseek-v3", "--speculative", "1").stderr == ""
    run = run_cli("size", "--model", "bart-large")
    assert "counts 0 without --encoder-tokens; max_position_embeddings" in run.stderr
    assert run_cli("size", "--model", "bart-large", "--encoder-tokens", "9").stderr == ""


def test_a_log_of_another_model_is_said(run_cli):
    (run_cli.folder / "log.txt").write_text(LOG.replace("google/gemma", "openai/gpt-oss-20b"))
    words = ("size", "--model", "gemma-3-27b", "--check-log", "log.txt")
    assert "the log is of 'openai/gpt-oss-20b'" in run_cli(*words).stderr


def test_the_block_of_a_row_is_that_of_groups_that_keep_all(run_cli, results):
    # DeepSeek V4 on vLLM: groups of 256, 64, 8 and 4 tokens; those that grow are of 256
    size = ("size", "--model", "deepseek-v4-flash", "--engine", "vllm", "--tokens", "32k")
    (row,) = (line for line in run_cli(*size).stdout.splitlines() if " 32k " in line)
    assert row.split()[2] == "256"
    assert results(*size)[0]["block_size"] == 4
