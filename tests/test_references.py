"""The eight references that the field is told by, worked out by hand."""

import pytest

from kvprof.model import reference_model
from kvprof.registry import registry
from kvprof.size import Request, size_model

# per_token, growing_per_token, window, fixed_per_sequence in bytes, everything in bfloat16 (2 B)
REFERENCES = {
    # GPT-2 XL: 48 layers * K and V * 25 heads * 64 * 2 B
    "mha": ("gpt2-xl", 48 * 2 * 25 * 64 * 2, 307_200, 307_200, 0, 0),
    # StarCoder 15.5B: 40 layers * K and V * 1 head * 128 (6144 / 48) * 2 B
    "mqa": ("starcoder", 40 * 2 * 1 * 128 * 2, 20_480, 20_480, 0, 0),
    # Llama 3 8B: 32 layers * K and V * 8 KV heads * 128 (4096 / 32) * 2 B
    "gqa": ("llama-3-8b", 32 * 2 * 8 * 128 * 2, 131_072, 131_072, 0, 0),
    # DeepSeek V3: 61 layers * (latent of 512 + RoPE key of 64) * 2 B
    "mla": ("deepseek-v3", 61 * (512 + 64) * 2, 70_272, 70_272, 0, 0),
    # Gemma 3 27B: 62 layers * K and V * 16 heads * 128 * 2 B; every 6th of them is full: 10, of
    # 8,192 B each; the other 52 hold at most 1,024 entries: 52 * 1,024 * 8,192
    "sliding": ("gemma-3-27b", 62 * 2 * 16 * 128 * 2, 507_904, 81_920, 436_207_616, 0),
    # Mamba 2.8B: 64 layers * (conv 3 * 5120 + state 5120 * 16) * 2 B = 64 * 97,280 * 2
    "ssm": ("mamba-2.8b", 0, 0, 0, 0, 12_451_840),
    # Mamba-2 2.7B: 64 layers * (conv 3 * (5120 + 2 * 128) + state 80 * 64 * 128) * 2 B
    # = 64 * (16,128 + 655,360) * 2
    "ssm2": ("mamba2-2.7b", 0, 0, 0, 0, 85_950_464),
    # Jamba 1.5 Mini: 4 attention layers * K and V * 8 heads * 128 * 2 B; 28 Mamba layers *
    # (conv 3 * 8192 + state 8192 * 16) * 2 B = 28 * 155,648 * 2
    "hybrid": ("jamba-1.5-mini", 4 * 2 * 8 * 128 * 2, 16_384, 16_384, 0, 8_716_288),
}


@pytest.mark.parametrize("label", REFERENCES)
def test_reference(label: str) -> None:
    name, by_hand, per_token, growing_per_token, window, fixed = REFERENCES[label]
    assert by_hand == per_token
    model = reference_model(label)
    result = size_model(
        model,
        registry().engine("logical").what,
        Request(tokens=4096, cache_dtype="bfloat16", state_dtype="bfloat16"),
    )
    assert (model.config.name, model.architecture, model.inferred) == (name, label, False)
    assert result.bytes.per_token == per_token
    assert result.bytes.growing_per_token == growing_per_token
    assert result.bytes.window == window
    assert result.bytes.fixed_per_sequence == fixed
    # 4,096 tokens fill every window here, and the logical engine reserves no more.
    assert result.bytes.logical == 4096 * growing_per_token + window + fixed
    assert result.bytes.reserved == result.bytes.logical


def test_xlstm_keeps_its_matrix_memory() -> None:
    # 32 layers * 8 heads * (256 * 512 matrix + 256 normaliser + 1 stabiliser) * 4 B: the config
    # names float32 for its state.
    result = size_model(
        reference_model("linear"), registry().engine("logical").what, Request(tokens=1)
    )
    assert result.state_dtype == "float32"
    assert result.bytes.fixed_per_sequence == 32 * 8 * (256 * 512 + 256 + 1) * 4 == 134_480_896


def test_architectures_come_in_the_order_of_the_fields_history() -> None:
    found = registry()
    dates = [found.model(o.what.reference).date for o in found.architectures.values()]
    assert dates == sorted(dates)
    assert list(found.architectures)[:3] == ["mha", "cross", "mqa"]
    assert set(REFERENCES) <= set(found.architectures)
