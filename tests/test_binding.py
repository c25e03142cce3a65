"""Dtypes: bound first, then counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.accounting import cache_groups, entry_bytes, fixed_bytes, per_token
from kvprof.binding import Dtypes, bind, choose_dtypes
from kvprof.dtypes import CACHE_DTYPES, ELEMENT_BITS, canonical_dtype
from kvprof.errors import UsageError
from kvprof.layers import attention_cache, indexer_cache, latent_cache, layer, mamba1_cache
from kvprof.layout import CacheLayout
from kvprof.model import catalogue_model
from kvprof.registry import registry
from kvprof.size import Request, place

# Llama 3 8B keeps 32 * 2 * 8 * 128 = 65,536 elements a token, DeepSeek V3 61 * (512 + 64) = 35,136.
PER_TOKEN = {
    "float32": (262_144, 140_544),  # 4 B
    "float16": (131_072, 70_272),  # 2 B
    "bfloat16": (131_072, 70_272),
    "fp8": (65_536, 35_136),  # 1 B, the scale is one per tensor and not per token
    "fp8_e4m3": (65_536, 35_136),
    "fp8_e5m2": (65_536, 35_136),
    "int8": (65_536, 35_136),
    "nvfp4": (36_864, 19_764),  # 4 bits and a byte per 16: 0.5625 B
    "fp8_ds_mla": (None, 40_016),  # 61 * 656
    "fp8_ds_mla_v4": (
        None,
        39_528,
    ),  # 61 * (512 + 128 + 8 scales): 648, 584 with V4's latent of 448
    "fp8_ds_mla_v41": (None, 36_234),  # 61 * (576 + 18 scales): 594, 528 with a latent of 448
    "nvfp4_ds_mla": (None, 21_472),  # 61 * (256 + 32 scales + 64) = 61 * 352
    # 32 layers of 8 heads: (128 + 128) values and two float32 scales
    "int8_per_token_head": (67_584, None),  # 32 * 8 * (256 + 8)
    "fp8_per_token_head": (67_584, None),
    "int4_per_token_head": (34_816, None),  # 32 * 8 * (128 + 8)
}


def per_token_of(name: str, cache_dtype: str) -> int:
    request = Request(tokens=1, cache_dtype=cache_dtype)
    placed = place(catalogue_model(name), registry().engine("logical").what, request)
    return int(per_token(cache_groups(placed.layout)))


@pytest.mark.parametrize("dtype", PER_TOKEN)
def test_bytes_per_token_of_every_cache_dtype(dtype: str) -> None:
    gqa, mla = PER_TOKEN[dtype]
    if mla is not None:
        assert per_token_of("deepseek-v3", dtype) == mla
    if gqa is not None:
        assert per_token_of("llama-3-8b", dtype) == gqa


def test_every_cache_dtype_is_in_the_table_above() -> None:
    assert set(CACHE_DTYPES) <= set(PER_TOKEN)


def tensors(layout: CacheLayout, dtypes: Dtypes) -> list[tuple[str, tuple[int, ...], str]]:
    groups = cache_groups(bind(layout, dtypes))
    return [(f.name, f.shape, f.dtype) for g in groups for f in g.cache.fields]


def test_the_packed_mla_record() -> None:
    # vLLM's fp8_ds_mla: 512 e4m3 latents, 4 float32 scales (one per 128), 64 bfloat16 RoPE values:
    # 512 + 16 + 128 = 656 B.
    layout = CacheLayout((layer(0, latent_cache(512, 64)),))
    dtypes = Dtypes(cache="fp8_ds_mla", state="bfloat16", model="bfloat16")
    assert tensors(layout, dtypes) == [
        ("latent", (512,), "fp8_e4m3"),
        ("latent_scale", (4,), "float32"),
        ("k_rope", (64,), "bfloat16"),
    ]
    assert entry_bytes(bind(layout, dtypes).layers[0].owns[0]) == 656


def test_the_packed_records_of_528_and_352_bytes() -> None:
    # DeepSeek V4.1: 448 + 64 e4m3 and a ue8m0 for each 32 of them: 512 + 16 = 528 B.
    v41 = Dtypes(cache="fp8_ds_mla_v41", state="bfloat16", model="bfloat16")
    cache = bind(CacheLayout((layer(0, latent_cache(448, 64)),)), v41).layers[0].owns[0]
    assert entry_bytes(cache) == 528
    # 512 e2m1 in 256 B, an e4m3 for each 16 of them (32 B), 64 e4m3 of RoPE: 352 B.
    nvfp4 = Dtypes(cache="nvfp4_ds_mla", state="bfloat16", model="bfloat16")
    assert tensors(CacheLayout((layer(0, latent_cache(512, 64)),)), nvfp4) == [
        ("latent", (512,), "fp4_e2m1"),
        ("latent_scale", (32,), "fp8_e4m3"),
        ("k_rope", (64,), "fp8_e4m3"),
    ]


def test_scales_of_tokens_and_heads() -> None:
    # 8 heads of K 192 and V 128 wide: int8 values, and 4 B for each head of K and of V.
    layout = CacheLayout((layer(0, attention_cache(8, 192, v_head_dim=128)),))
    dtypes = Dtypes(cache="int8_per_token_head", state="bfloat16", model="bfloat16")
    assert tensors(layout, dtypes) == [
        ("k", (8, 192), "int8"),
        ("k_scale", (8,), "float32"),
        ("v", (8, 128), "int8"),
        ("v_scale", (8,), "float32"),
    ]
    int4 = Dtypes(cache="int4_per_token_head", state="bfloat16", model="bfloat16")
    assert entry_bytes(bind(layout, int4).layers[0].owns[0]) == 8 * (96 + 64 + 8)


def test_no_heads_no_scales_of_heads() -> None:
    dtypes = Dtypes(cache="fp8_per_token_head", state="bfloat16", model="bfloat16")
    with pytest.raises(UsageError, match=r"fp8_per_token_head scales heads.*'latent'"):
        bind(CacheLayout((layer(0, latent_cache(512, 64)),)), dtypes)
    with pytest.raises(UsageError, match="cannot hold a state"):
        choose_dtypes("auto", "int8_per_token_head", config_dtype=None, config_state_dtype=None)


def test_the_packed_record_of_deepseek_v4() -> None:
    # 448 e4m3 and 64 bfloat16 = 576 B a row; 7 ue8m0 scales (one per 64) and a byte of padding.
    layout = CacheLayout((layer(0, latent_cache(448, 64), indexer_cache(128)),))
    dtypes = Dtypes(cache="fp8_ds_mla_v4", state="bfloat16", model="bfloat16")
    latent, indexer = bind(layout, dtypes).layers[0].owns
    assert (entry_bytes(latent), entry_bytes(indexer)) == (584, 132)


def test_nvfp4_adds_a_scale_per_16_elements() -> None:
    layout = CacheLayout((layer(0, attention_cache(8, 128)),))
    dtypes = Dtypes(cache="nvfp4", state="bfloat16", model="bfloat16")
    # K and V each: 8 heads * 128 * 4 bits = 512 B, and 8 * 8 scales of 1 B.
    assert tensors(layout, dtypes) == [
        ("k", (8, 128), "fp4_e2m1"),
        ("k_scale", (8, 8), "fp8_e4m3"),
        ("v", (8, 128), "fp4_e2m1"),
        ("v_scale", (8, 8), "fp8_e4m3"),
    ]
    assert entry_bytes(bind(layout, dtypes).layers[0].owns[0]) == 2 * (512 + 64)


@given(st.sampled_from(sorted(d for d in PER_TOKEN if "_mla" not in d)), st.integers(1, 64))
def test_a_binding_leaves_no_role_and_changes_no_shape(dtype: str, sixteens: int) -> None:
    cache = attention_cache(3, 16 * sixteens)
    layout = CacheLayout((layer(0, cache), layer(1, mamba1_cache(32, 16, 4))))
    bound = bind(layout, Dtypes(canonical_dtype(dtype, option="x"), "float32", "bfloat16"))
    for _, owned in bound.caches():
        assert all(field.dtype in ELEMENT_BITS for field in owned.fields)
    shapes = {field.name: field.shape for field in bound.layers[0].owns[0].fields}
    assert shapes["k"] == shapes["v"] == (3, 16 * sixteens)
    assert bound.layers[0].does == layout.layers[0].does


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("cache", "dtype", "words"),
    [
        (attention_cache(8, 128), "fp8_ds_mla", ["fp8_ds_mla", "MLA", "'k'"]),
        (attention_cache(8, 24), "nvfp4", ["nvfp4", "24", "16"]),
        (latent_cache(100, 64), "fp8_ds_mla", ["100", "128"]),
        (indexer_cache(24), "nvfp4", ["index_head_dim", "24"]),
    ],
)
def test_a_packed_format_refuses_what_it_cannot_hold(
    cache: object, dtype: str, words: list[str]
) -> None:
    layout = CacheLayout((layer(0, cache),))  # type: ignore[arg-type]
    with pytest.raises(UsageError) as caught:
        bind(layout, Dtypes(cache=dtype, state="bfloat16", model="bfloat16"))
    assert caught.value.exit_code == 2
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("dtype", ["int4", "fp7", "", "bfloat17", "k" * 5000])
def test_an_unknown_dtype_is_refused_with_those_known(dtype: str) -> None:
    for option in ("cache", "state"):
        arguments = {"cache": "auto", "state": "auto", option: dtype}
        with pytest.raises(UsageError) as caught:
            choose_dtypes(**arguments, config_dtype=None, config_state_dtype=None)
        message = str(caught.value)
        assert f"--{option}-dtype" in message
        assert "bfloat16" in message
        assert len(message) < 400


def test_a_state_is_no_mla_record() -> None:
    with pytest.raises(UsageError, match="--state-dtype"):
        choose_dtypes("auto", "fp8_ds_mla", config_dtype=None, config_state_dtype=None)


# ---------------------------------------------------------------- auto


@pytest.mark.parametrize(
    ("cache", "state", "config", "config_state", "expected"),
    [
        # the config's dtype, bfloat16 when it names none
        ("auto", "auto", None, None, ("bfloat16", "bfloat16", "bfloat16")),
        ("auto", "auto", "float16", None, ("float16", "float16", "float16")),
        ("auto", "auto", "torch.float16", None, ("float16", "float16", "float16")),
        # the config's own field for states, whatever the cache is in
        ("auto", "auto", "bfloat16", "float32", ("bfloat16", "float32", "bfloat16")),
        ("fp8", "auto", "bfloat16", "float32", ("fp8_e4m3", "float32", "bfloat16")),
        # else the cache dtype
        ("float32", "auto", "bfloat16", None, ("float32", "float32", "float32")),
        ("fp8", "auto", "float16", None, ("fp8_e4m3", "fp8_e4m3", "float16")),
        # the option wins over both
        ("auto", "float32", "float16", "bfloat16", ("float16", "float32", "float16")),
        # a record of MLA caches is no dtype for a state
        ("fp8_ds_mla", "auto", "float16", None, ("fp8_ds_mla", "float16", "float16")),
    ],
)
def test_auto(
    cache: str,
    state: str,
    config: str | None,
    config_state: str | None,
    expected: tuple[str, str, str],
) -> None:
    chosen = choose_dtypes(cache, state, config_dtype=config, config_state_dtype=config_state)
    assert (chosen.cache, chosen.state, chosen.model) == expected


def test_a_config_in_an_unknown_dtype_is_refused_only_where_it_is_asked() -> None:
    with pytest.raises(UsageError, match="int3"):
        choose_dtypes("auto", "auto", config_dtype="int3", config_state_dtype=None)
    chosen = choose_dtypes("bfloat16", "auto", config_dtype="int3", config_state_dtype=None)
    assert chosen.cache == "bfloat16"


def test_a_quantised_cache_leaves_the_convolutions_window_in_the_models_dtype() -> None:
    # Jamba 1.5 Mini with an fp8 cache: per Mamba layer a convolution of 3 * 8192 in bfloat16 and a
    # state of 8192 * 16 that follows the cache: 28 * (24,576 * 2 + 131,072 * 1) = 5,046,272 B.
    placed = place(
        catalogue_model("jamba-1.5-mini"),
        registry().engine("logical").what,
        Request(tokens=1, cache_dtype="fp8"),
    )
    assert fixed_bytes(cache_groups(placed.layout)) == 28 * (24_576 * 2 + 131_072) == 5_046_272


def test_nemotron_keeps_its_state_in_the_dtype_its_config_names() -> None:
    # Nemotron 3 Nano: 23 Mamba-2 layers, mamba_ssm_cache_dtype float32. State 64 * 64 * 128 in 4 B,
    # convolution 3 * (64 * 64 + 2 * 8 * 128) in 2 B: 23 * (2,097,152 + 36,864) = 49,082,368 B.
    placed = place(
        catalogue_model("nemotron-3-nano-30b"),
        registry().engine("logical").what,
        Request(tokens=1),
    )
    assert placed.dtypes.state == "float32"
    assert fixed_bytes(cache_groups(placed.layout)) == 49_082_368


def test_the_packed_record_of_a_sparse_model_packs_its_indexer_too():
    # DeepSeek V3.2: 656 B of latent and RoPE and 128 e4m3 + one float32 scale = 132 B of indexer,
    # in 61 layers: 61 * (656 + 132) = 48,068 B per token.
    layout = catalogue_model("deepseek-v3.2").layout
    dtypes = Dtypes(cache="fp8_ds_mla", state="bfloat16", model="bfloat16")
    assert per_token(cache_groups(bind(layout, dtypes))) == 48_068
