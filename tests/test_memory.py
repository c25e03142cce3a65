"""The memory a cache may use, and what the weights take of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvprof.errors import UsageError
from kvprof.memory import cache_memory, weights_bytes
from kvprof.model import catalogue_model, config_model

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 4,
    "hidden_size": 256,
    "num_attention_heads": 8,
    "quantization_config": {"quant_method": "gptq", "bits": 4},
}
"""Packed weights, which no count of parameters tells, whatever is installed."""


def test_the_two_ways_to_say_it() -> None:
    assert cache_memory(None, None, None) is None
    assert cache_memory(2**30, None, None) == 2**30
    assert cache_memory(None, 80 * 2**30, 16 * 2**30) == 64 * 2**30
    assert cache_memory(None, 80 * 2**30, None) == 80 * 2**30


@pytest.mark.parametrize("weights", [2**30, 2**30 + 1, 2**40])
def test_weights_that_leave_nothing(weights: int) -> None:
    with pytest.raises(UsageError, match="leave nothing"):
        cache_memory(None, 2**30, weights)


def test_both_ways_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--memory .*--device-memory"):
        cache_memory(1, 1, None)


def test_weights_of_the_catalogue() -> None:
    # Llama 3 8B: 8,030,261,248 parameters in bfloat16
    assert weights_bytes("auto", catalogue_model("llama-3-8b")) == 2 * 8_030_261_248
    assert weights_bytes("16GiB", catalogue_model("llama-3-8b")) == 16 * 2**30
    assert weights_bytes(None, catalogue_model("llama-3-8b")) is None


def folder_with(tmp_path: Path, index: str | None) -> str:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    if index is not None:
        (tmp_path / "model.safetensors.index.json").write_text(index)
    return str(tmp_path)


def test_weights_beside_the_config(tmp_path: Path) -> None:
    index = json.dumps({"metadata": {"total_size": 12_345}, "weight_map": {}})
    assert weights_bytes("auto", config_model(folder_with(tmp_path, index))) == 12_345


def test_weights_of_one_file_beside_the_config(tmp_path: Path) -> None:
    """8 bytes of length, a header of that length, then the tensors."""
    folder = folder_with(tmp_path, None)
    header = b'{"a":{"dtype":"BF16","shape":[500],"data_offsets":[0,1000]}}'
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(1000))
    assert weights_bytes("auto", config_model(folder)) == 1000
    for content in (b"", b"\0" * 8, b"\xff" * 8 + header):
        file.write_bytes(content)
        with pytest.raises(UsageError, match="--weights auto cannot tell"):
            weights_bytes("auto", config_model(folder))


@pytest.mark.parametrize(
    "index",
    [
        None,
        "",
        "[]",
        "{}",
        '{"metadata": null}',
        '{"metadata": {"total_size": "many"}}',
        '{"metadata": {"total_size": -1}}',
        '{"metadata": {"total_size": 0}}',
        '{"metadata": {"total_size": Infinity}}',
        '{"metadata": {"total_size": NaN}}',
        '{"metadata": {"total_size": 1e30}}',
        "[" * 100_000,
    ],
)
def test_an_index_that_says_nothing(tmp_path: Path, index: str | None) -> None:
    model = config_model(folder_with(tmp_path, index))
    with pytest.raises(UsageError, match="--weights auto cannot tell") as caught:
        weights_bytes("auto", model)
    assert "--weights 16GiB" in str(caught.value)


def test_a_catalogue_models_weights_are_not_those_that_lie_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with(tmp_path, '{"metadata": {"total_size": 7}}')
    monkeypatch.chdir(tmp_path)
    assert weights_bytes("auto", catalogue_model("gpt2")) == 2 * 124_439_808


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"num_parameters": 1000}, 2000),
        ({"n_params": 1000, "torch_dtype": "float32"}, 4000),
        ({"total_params": 1e3, "quantization_config": {"quant_method": "fp8"}}, 1000),
        ({"parameter_count": "7B", "num_parameters": True, "n_parameters": 7}, 14),
    ],
)
def test_weights_that_the_config_counts(
    tmp_path: Path, more: dict[str, Any], expected: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"quantization_config": {}} | more))
    assert weights_bytes("auto", config_model(str(tmp_path))) == expected
