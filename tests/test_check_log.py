"""vLLM's start-up log against the plan: what its own code logged, and logs that say nothing."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.check_log import check_log, request_of
from kvprof.engine_log import EngineLog, parse_log, read_log
from kvprof.errors import UsageError
from kvprof.model import catalogue_model
from kvprof.model_names import plainly_differ
from kvprof.registry import registry
from kvprof.result import LogCheck
from kvprof.size import Request

from .engines.recorded import PLANS, model_of, recorded_plan, requested

VLLM = registry().engine("vllm").what
PREFIX = "(EngineCore pid=71) INFO 11-24 09:14:02 [kv_cache_utils.py:1147] "


def lines_of(plan: dict[str, Any], length: str) -> list[str]:
    """The recorded lines, and those of the capacity that vLLM prints last, at one length."""
    at_length, settings_ = plan["by_max_model_len"][length], plan["settings"]
    sizes = f"kv cache group sizes ({', '.join(map(str, at_length['group_block_sizes']))})"
    said = [
        line
        for line in plan["log"] + plan["warnings"]
        if not line.startswith("kv cache group sizes") or line == sizes
    ]
    config = (
        f"Initializing a V1 LLM engine (v{plan['vllm_version']}) with config: model='a/b', "
        f"dtype=torch.bfloat16, max_seq_len={length}, tensor_parallel_size=1, "
        f"kv_cache_dtype={settings_['cache_dtype']}, "
        f"enable_prefix_caching={settings_['enable_prefix_caching']}, seed=0"
    )
    return [
        config,
        f"Chunked prefill is enabled with max_num_batched_tokens="
        f"{settings_['max_num_batched_tokens']}.",
        *said,
        "Available KV cache memory: 40.0 GiB",
        f"GPU KV cache size: {at_length['kv_cache_size_tokens']:,} tokens, Maximum concurrency "
        f"for {int(length):,} tokens per request: {at_length['max_concurrency']:.2f}x",
    ]


def checked(plan: dict[str, Any], length: str, folder: Path) -> LogCheck:
    path = folder / "vllm.log"
    path.write_text("".join(f"{PREFIX}{line}\n" for line in lines_of(plan, length)))
    model = model_of(plan)
    log = read_log(path)
    asked = requested(plan, int(length))
    only_settings = Request(
        tokens=0, block_size=asked.block_size, engine_options=asked.engine_options
    )
    return check_log(log, model, VLLM, request_of(log, only_settings, model))


@pytest.mark.skipif(not PLANS, reason="no recorded plans beside the project")
@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_what_vllm_logged_is_predicted(path: Path, tmp_path: Path) -> None:
    plan = recorded_plan(path)
    for length, at_length in plan["by_max_model_len"].items():
        if at_length.get("error"):
            continue
        check = checked(plan, length, tmp_path)
        assert check.agrees, [figure for figure in check.figures if not figure.agrees]
        names = {figure.name for figure in check.figures}
        assert {"capacity_tokens", "max_concurrency"} <= names
        logged = " ".join(plan["log"] + plan["warnings"])
        for name, words in {
            "block_size": "block size to",
            "state_padding_percent": "Padding mamba",
            "padding_layers": "padding layers",
        }.items():
            assert (name in names) == (words in logged)


LLAMA = """\
INFO 11-24 09:13:40 [core.py:140] Initializing a V1 LLM engine (v0.33.0) with config: \
model='meta-llama/Meta-Llama-3-8B', speculative_config=None, dtype=torch.bfloat16, \
max_seq_len=8192, tensor_parallel_size=2, kv_cache_dtype=auto, enable_prefix_caching=True
WARNING 11-24 09:13:41 [x.py:1] something else entirely
INFO 11-24 09:14:01 [gpu_worker.py:773] Available KV cache memory: 10.0 GiB
INFO 11-24 09:14:02 [kv_cache_utils.py:1147] GPU KV cache size: 163,840 tokens
INFO 11-24 09:14:02 [kv_cache_utils.py:50] Maximum concurrency for 8,192 tokens per request: 20.00x
"""


def logged(text: str, folder: Path) -> EngineLog:
    (folder / "log").write_text(text, encoding="utf-8")
    return read_log(folder / "log")


def of_llama(log: EngineLog, **asked: Any) -> dict[str, tuple[str, str, bool]]:
    model = catalogue_model("llama-3-8b")
    request = request_of(log, Request(tokens=0, **asked), model)
    figures = check_log(log, model, VLLM, request).figures
    return {figure.name: (figure.predicted, figure.actual, figure.agrees) for figure in figures}


def test_what_a_log_says(tmp_path: Path) -> None:
    log = logged(LLAMA, tmp_path)
    assert (log.version, log.model, log.tensor_parallel) == (
        "0.33.0",
        "meta-llama/Meta-Llama-3-8B",
        2,
    )
    assert (log.memory_gib, log.capacity_tokens) == (Decimal("10.0"), 163_840)
    assert (log.max_model_len, log.max_concurrency) == (8192, "20.00")
    # 10 GiB // (16 tokens x 32 layers x 2 x 4 heads x 128 x 2 B) = 10,240 blocks on each rank.
    assert of_llama(log) == {
        "capacity_tokens": ("163840", "163840", True),
        "max_concurrency": ("20.00", "20.00", True),
    }


def test_a_memory_is_what_is_printed_rounded(tmp_path: Path) -> None:
    # 10.0 GiB may have been 9.995 to 10.005: 10,234 to 10,245 blocks, 163,744 to 163,920 tokens.
    for tokens, agrees in {163_744: True, 163_920: True, 163_728: False, 163_936: False}.items():
        log = logged(LLAMA.replace("163,840", f"{tokens:,}"), tmp_path)
        assert of_llama(log)["capacity_tokens"] == ("163840", str(tokens), agrees)
    exact = logged(LLAMA.replace("163,840", "163,856"), tmp_path)
    assert of_llama(exact, memory_bytes=10 * 2**30 + 1)["capacity_tokens"][2] is False


def test_what_differs_is_said(tmp_path: Path) -> None:
    text = LLAMA + "WARNING Add 4 padding layers, may waste at most 12.50% KV cache memory\n"
    figures = of_llama(logged(text + "kv cache group sizes (16, 16)\n", tmp_path))
    assert figures["padding_layers"] == ("none", "4 (12.50 %)", False)
    assert figures["group_block_sizes"] == ("16", "16, 16", False)


@pytest.mark.parametrize("text", ["", "hello\n", "Add padding layers\n", "\x00\xff" * 100])
def test_foreign_logs_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of its lines is vLLM's"):
        logged(text, tmp_path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_log(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be read"):
        read_log(tmp_path)


def test_nothing_to_compare_without_a_memory(tmp_path: Path) -> None:
    log = logged("GPU KV cache size: 163,840 tokens\n", tmp_path)
    with pytest.raises(UsageError, match="without the memory"):
        of_llama(log)
    paged, model = registry().engine("paged").what, catalogue_model("llama-3-8b")
    with pytest.raises(UsageError, match="logs of vLLM"):
        check_log(log, model, paged, Request(tokens=1, memory_bytes=1))


PIECES = (
    *("GPU KV cache size: ", " tokens", "max_seq_len=", "9" * 30, ",", "0", ".", "1.5.2", "x\n"),
    *("Maximum concurrency for ", " tokens per request: ", "kv cache group sizes (", ")", "%\n"),
    *("Available KV cache memory: ", " GiB", "Add ", " padding layers, may waste at most "),
    *("Padding mamba page size by ", "# GPU blocks: ", "tensor_parallel_size="),
)


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_text_is_a_crash(text: str) -> None:
    log = parse_log(text + "\nGPU KV cache size: 16 tokens\nAvailable KV cache memory: 1 GiB", "it")
    assert log.capacity_tokens == 16
    model = catalogue_model("gemma-3-27b")
    try:
        check = check_log(log, model, VLLM, request_of(log, Request(tokens=0), model))
    except UsageError:
        return
    assert not check.agrees


@pytest.mark.parametrize(
    ("logged", "name", "differ"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3-8b", False),
        ("meta-llama/Meta-Llama-3-70B", "llama-3-8b", True),
        ("openai/gpt-oss-20b", "llama-3-8b", True),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3", False),
        ("google/gemma", "gemma-3-27b", False),
        ("/data/models/1", "gemma-3-27b", True),
        ("/models/3", "gemma-3-27b", False),
    ],
)
def test_a_log_of_another_model(logged: str, name: str, differ: bool) -> None:
    assert plainly_differ(logged, catalogue_model(name)) is differ
