"""Why plans are as they are: the number that each answer rests on, worked out by hand."""

from kvprof.model import catalogue_model
from kvprof.registry import engine
from kvprof.result import Reason
from kvprof.size import Request, size_model

GIB = 2**30


def reasons(model: str, **request: int | str) -> dict[str, Reason]:
    asked = Request(tokens=12, max_model_len=8192, memory_bytes=40 * GIB, **request)  # type: ignore[arg-type]
    result = size_model(catalogue_model(model), engine("vllm"), asked)
    return {f"{reason.name} {reason.value:.6g}": reason for reason in result.reasons}


def test_a_short_prompt_takes_a_block_as_large_as_a_state_in_each_group() -> None:
    # Qwen3-Next: 48 layers in 4 groups of 12. A state in float32 is 32 heads x 128 x 128 x 4 B and
    # a convolution of 3 x 8,192 x 2 B: 2,146,304 B, which 1,048 tokens of 2,048 B hold; states are
    # kept at multiples of 64 tokens: 1,088 of them, a page of 2,228,224 B, 12 of which are a block.
    found = reasons("qwen3-next-80b", state_dtype="float32")
    (least,) = (r for name, r in found.items() if name.startswith("block_blown_up"))
    assert (least.value, least.unit) == (4 * 12 * 2_228_224, "bytes")
    assert "1,088 tokens and not 16" in least.text
    (page,) = (r for name, r in found.items() if name.startswith("padded_page"))
    assert page.value == 2_228_224 - 2_146_304


def test_eight_phantom_layers_cost_gemma_3_15_percent() -> None:
    # 52 windowed layers in groups of 10: 6 groups, 60 places, 8 of them empty.
    found = reasons("gemma-3-27b")
    assert found["padding_layers 0.153846"].text.startswith("8 padding layers beside 52 of Last")
    # Windows of 1,024 with 16,384 tokens in flight need all 8,192 and a block more: 6 x 513 + 512.
    assert found["concurrency 3590"].unit == "blocks"


def test_a_block_of_1728_bytes_holds_1168() -> None:
    # DeepSeek V4: two entries of 584 B in a block of 256 tokens, rounded up to multiples of 576 B.
    assert (
        "1,728 B of compressed_latent holds 1,168 B"
        in reasons("deepseek-v4-flash")["padded_page 560"].text
    )


def test_plain_pages_need_no_reason() -> None:
    assert reasons("llama-3-8b") == {}
