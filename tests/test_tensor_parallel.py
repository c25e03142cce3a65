"""What one of several ranks keeps, by hand and by vLLM's own formulas."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.errors import UsageError
from kvprof.layers import (
    attention_cache,
    delta_net_cache,
    indexer_cache,
    latent_cache,
    layer,
    mamba1_cache,
    mamba2_cache,
    short_convolution_cache,
)
from kvprof.layout import Cache, CacheLayout
from kvprof.model import catalogue_model
from kvprof.registry import registry
from kvprof.size import Request, size_model
from kvprof.tensor_parallel import rank_layout


def of_rank(cache: Cache, ranks: int) -> dict[str, tuple[int, ...]]:
    layout = rank_layout(CacheLayout((layer(0, cache),)), ranks)
    return {field.name: field.shape for field in layout.layers[0].owns[0].fields}


def test_kv_heads_are_divided_and_then_replicated() -> None:
    heads = attention_cache(8, 128, v_head_dim=64)
    assert of_rank(heads, 2) == {"k": (4, 128), "v": (4, 64)}
    assert of_rank(heads, 8) == {"k": (1, 128), "v": (1, 64)}
    assert of_rank(heads, 32) == {"k": (1, 128), "v": (1, 64)}, "four ranks hold the same head"


def test_latents_and_indexers_are_whole_on_every_rank() -> None:
    assert of_rank(latent_cache(512, 64), 8) == {"latent": (512,), "k_rope": (64,)}
    assert of_rank(indexer_cache(128), 8) == {"index_k": (128,)}


def test_channels_and_heads_of_states_are_divided() -> None:
    # Jamba: 8,192 channels on 4 ranks. LFM2: 2,048 channels on 2.
    assert of_rank(mamba1_cache(8192, 16, 4), 4) == {
        "conv_state": (3, 2048),
        "ssm_state": (2048, 16),
    }
    assert of_rank(short_convolution_cache(3, 2048), 2) == {"conv_state": (2, 1024)}
    # Qwen3-Next on 4 ranks: 16 key heads, 32 value heads of 128: 2 x 4 x 128 + 8 x 128 = 2,048.
    gated = delta_net_cache(
        "gated_delta_net", key_heads=16, value_heads=32, key_dim=128, value_dim=128, d_conv=4
    )
    assert of_rank(gated, 4) == {"conv_state": (3, 2048), "recurrent_state": (8, 128, 128)}


def test_groups_of_mamba_2_are_padded_to_the_ranks() -> None:
    # Falcon-H1-7B: 24 heads of 128 and one group of 256, on 4 ranks: 6 heads and a group of its
    # own on each: 6 x 128 + 2 x 256 = 1,280 channels, not (3,072 + 512) / 4 = 896.
    falcon = mamba2_cache(24, 128, 256, 1, 4)
    assert of_rank(falcon, 4) == {"conv_state": (3, 1280), "ssm_state": (6, 128, 256)}
    # 8 groups on 4 ranks are two each: 16 x 64 + 2 x 2 x 128 = 1,536.
    nemotron = mamba2_cache(64, 64, 128, 8, 4)
    assert of_rank(nemotron, 4) == {"conv_state": (3, 1536), "ssm_state": (16, 64, 128)}


@given(
    st.sampled_from([1, 2, 4, 8, 16]),
    st.sampled_from([16, 32, 64]),
    st.sampled_from([16, 64]),
    st.sampled_from([1, 2, 3, 5, 8, 16]),
)
def test_mamba_2_as_vllm_shares_it(ranks: int, heads: int, dim: int, groups: int) -> None:
    """mamba_utils.py, mamba2_state_shape with extra_groups_for_head_shards."""
    padded = groups if groups % ranks == 0 else groups + ranks - groups
    channels = heads * dim + 2 * padded * 128
    shapes = of_rank(mamba2_cache(heads, dim, 128, groups, 4), ranks)
    assert shapes == {
        "conv_state": (3, channels // ranks),
        "ssm_state": (heads // ranks, dim, 128),
    }


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([8, 16]), st.sampled_from([16, 32]))
def test_delta_nets_as_vllm_shares_them(ranks: int, key_heads: int, value_heads: int) -> None:
    """mamba_utils.py, gated_delta_net_state_shape."""
    cache = delta_net_cache(
        "kda", key_heads=key_heads, value_heads=value_heads, key_dim=64, value_dim=128, d_conv=4
    )
    channels = 64 * key_heads * 2 + 128 * value_heads
    assert of_rank(cache, ranks) == {
        "conv_state": (3, channels // ranks),
        "recurrent_state": (value_heads // ranks, 128, 64),
    }


def test_ranks_that_do_not_divide() -> None:
    with pytest.raises(UsageError, match="--tensor-parallel 3 does not divide 8 kv heads"):
        of_rank(attention_cache(8, 128), 3)
    with pytest.raises(UsageError, match="--tensor-parallel 12 does not divide 8 kv heads"):
        of_rank(attention_cache(8, 128), 12)
    with pytest.raises(UsageError, match="does not divide 8192 channels"):
        of_rank(mamba1_cache(8192, 16, 4), 3)


def test_one_rank_is_everything() -> None:
    layout = catalogue_model("jamba-1.5-mini").layout
    assert rank_layout(layout, 1) == layout


@pytest.mark.parametrize("engine", ["logical", "paged", "vllm", "sglang"])
def test_every_engine_sizes_a_rank(engine: str) -> None:
    # Llama 3 8B on 4 ranks: 32 layers x 2 heads x 2 x 128 x 2 B = 32 KiB a token on each.
    request = Request(tokens=4096, tensor_parallel=4)
    result = size_model(catalogue_model("llama-3-8b"), registry().engine(engine).what, request)
    assert result.tensor_parallel == 4
    assert result.bytes.per_token == 32 * 1024
    assert result.bytes.reserved == 4096 * 32 * 1024


def test_a_rank_of_a_hybrid_aligns_its_own_pages() -> None:
    # Nemotron-H-8B on 4 ranks: a state of 3 x (2,048 + 2 x 2 x 128) x 2 + 32 x 64 x 128 x 4 =
    # 1,063,936 B beside 2 KV heads of 128: 1,024 B a token: ceil(1,063,936 / 16,384) x 16 = 1,040.
    request = Request(tokens=1, tensor_parallel=4)
    model = catalogue_model("nemotron-h-8b")
    result = size_model(model, registry().engine("vllm").what, request)
    states = [cache for cache in result.caches if cache.name == "mamba2"]
    assert [prod(tensor.shape) for tensor in states[0].tensors] == [3 * 2560, 32 * 64 * 128]
    assert result.block_size == 1040
