"""`kvprof profile --device cuda:0`, over a GPU or an emulated one."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

_cuda = pytest.importorskip("kvprof._cuda", reason="built without CUDA")
REASON = _cuda.unavailable_reason()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
only_emulated = pytest.mark.skipif(
    not _cuda.EMULATED, reason="a real device does not fail on demand"
)

SMALL = ("--device", "cuda:0", "--stream-memory", "64MiB", "--tokens", "256", "--sequences", "2")
DSA = {
    "model_type": "deepseek_v32",
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "hidden_size": 256,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "index_head_dim": 128,
    "index_topk": 64,
}
HYBRID = {
    "model_type": "jamba",
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 128,
}
# The emulated device is inherited from the environment of the tests, if they set it.
KEPT = {k: v for k, v in os.environ.items() if k.startswith("KVPROF_EMULATED")}


@pytest.fixture
def profile(run_cli, validated, tmp_path):
    def call(config: dict[str, Any], *options: str) -> tuple[dict[str, Any], str]:
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
        arguments = ("profile", "--config", file, *SMALL, *options, "--format", "json")
        run = run_cli(*arguments, env=KEPT)
        assert run.exit_code == 0, run.stderr
        (result,) = validated(run.stdout)["results"]
        return result, run.stderr

    return call


def streams(result: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(stream["op"], stream["cache"]): stream for stream in result["streams"]}


def test_a_device_is_profiled_as_a_cpu_is(profile) -> None:
    result, stderr = profile(DSA, "--time-budget", "30")
    assert stderr == ""
    assert any("emulated" in warning for warning in result["warnings"]) is _cuda.EMULATED
    device = result["device"]
    assert (device["backend"], device["own_memory"]) == ("cuda", True)
    assert set(device["ceilings"]) == {"read", "write", "copy", "rmw"}
    assert set(device["link_ceilings"]) == {"host_to_device", "device_to_host"}
    assert device["cpus"] == []
    assert device["bus_peak_bytes_per_s"] > 0
    found = streams(result)
    ceilings = {op: stream["ceiling"] for (op, _), stream in found.items()}
    assert ceilings == {
        "decode_read": "read",
        "sparse_read": "read",
        "append": "copy",
        "block_copy": "copy",
        "zero": "write",
        "swap_out": "device_to_host",
        "swap_in": "host_to_device",
    }
    # Of each sequence and layer: an index of 128 bfloat16 a token, and 64 rows of 1,152 B.
    sparse = found["sparse_read", "latent"]
    assert sparse["bytes"] == 2 * 3 * (256 * 256 + 64 * 1152)
    assert sparse["run_bytes"] == 1152
    # 2 sequences x 256 tokens x 3 layers, over the link once.
    assert found["swap_out", "latent"]["bytes"] == 2 * 256 * 3 * 1152
    assert set(found["swap_out", "latent"]["variants"]) >= {"kernel", "per_block"}
    assert set(found["decode_read", "indexer"]["variants"]) >= {
        "vector_1x8",
        "vector_4x2",
        "vector_8x1",
    }


def test_states_are_updated_on_the_device(profile) -> None:
    result, _ = profile(HYBRID, "--operations", "step", "--time-budget", "20")
    operations = {op for op, _ in streams(result)}
    assert operations == {"decode_read", "append", "state_update"}
    assert all(s["ceiling"] == "rmw" for (op, _), s in streams(result).items() if "state" in op)


@pytest.mark.parametrize("policy", ["plain", "pool", "vmm"])
def test_the_policy_of_the_allocation_can_be_chosen(profile, policy: str) -> None:
    result, _ = profile(HYBRID, "--allocation", policy, "--operations", "zero")
    allocation = result["allocation"]
    assert allocation["policy"] == policy
    costs = {row["policy"]: row for row in allocation["policies"]}
    assert list(costs) == ["plain", "pool", "vmm"]
    for row in costs.values():
        assert row["held_bytes"] >= row["asked_bytes"] > 0
        assert row["allocate_seconds"] > 0


def test_an_unknown_policy_is_refused_by_naming_the_known(fails) -> None:
    message = fails(
        2, "profile", "--arch", "mla", "--device", "cuda:0", "--allocation", "slab", env=KEPT
    )
    assert "slab" in message
    assert "plain" in message


def test_under_a_profiler_each_operation_runs_once(run_cli, tmp_path) -> None:
    ranges = tmp_path / "ranges"
    run = run_cli(
        "profile", "--arch", "ssm", *SMALL, "--profiler-safe", "--format", "json",
        env=KEPT | {"KVPROF_EMULATED_NVTX": str(ranges)},
    )  # fmt: skip
    assert run.exit_code == 0, run.stderr
    (result,) = json.loads(run.stdout)["results"]
    assert all(len(stream["seconds"]["samples"]) == 1 for stream in result["streams"])
    if _cuda.EMULATED:
        lines = ranges.read_text().splitlines()
        assert all(line.startswith("kvprof ") for line in lines)
        assert sum(" push " in line for line in lines) == sum(
            line.endswith(" pop") for line in lines
        )
        named = {line.split(" push ")[1].rsplit(" ", 1)[0] for line in lines if " push " in line}
        assert {"fill", "state_update", "swap"} <= named
        phases = {"touching memory", "calibrating read", "verifying zero", "ageing the pool"}
        assert phases <= named
        assert any(name.startswith("sampling state_update of mamba1, fresh") for name in named)
        pool_bytes = result["allocation"]["pool_bytes"]
        assert f"kvprof push filling the pool {pool_bytes}" in lines


def test_more_than_the_device_has_is_refused(fails) -> None:
    message = fails(
        3, "profile", "--arch", "mla", "--device", "cuda:0", "--stream-memory", "4TiB", env=KEPT
    )
    assert str(4 * 2**40) in message
    assert "free" in message
    few = fails(
        3, "profile", "--arch", "mla", "--device", "cuda:0", "--stream-memory", "1", env=KEPT
    )
    assert "less than the 1 MiB" in few


def test_a_device_that_is_not_there_is_refused(fails) -> None:
    message = fails(3, "profile", "--arch", "mla", "--device", "cuda:99", env=KEPT)
    assert "cuda:99" in message


@only_emulated
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES"),
        ({"KVPROF_EMULATED_DRIVER_VERSION": "12020"}, "serves CUDA 12.2"),
        ({"KVPROF_EMULATED_FAIL_AT": "cudaMalloc:3,cudaMalloc:4,cudaMalloc:5"}, "bytes"),
        ({"KVPROF_EMULATED_FAIL_AT": "cudaMallocHost:2"}, "bytes of the host's are available"),
        ({"KVPROF_EMULATED_FAIL_AT": "cuDevicePrimaryCtxRetain:1"}, "another process"),
        ({"KVPROF_EMULATED_FAIL_AT": "cudaLaunchKernel:40"}, "failed"),
        ({"KVPROF_EMULATED_DEVICE_BYTES": "4194304"}, "--stream-memory"),
    ],
    ids=str,
)
def test_a_failing_device_is_one_message_and_exit_code_3(fails, setting, said) -> None:
    message = fails(3, "profile", "--arch", "mla", *SMALL, env=KEPT | setting)
    assert said in message
