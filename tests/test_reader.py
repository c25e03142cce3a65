"""The general reader: what the layers of a config keep, read and share."""

from typing import Any

import pytest

from kvprof.config_file import parse_config
from kvprof.conformance import layout_problems
from kvprof.errors import ConfigError
from kvprof.layout import All, CacheLayout, Chunk, Last, Mode, Once, TopK
from kvprof.model import catalogue_model, lay_out
from kvprof.reader import read_layout

BASE = {"num_hidden_layers": 2, "hidden_size": 256, "num_attention_heads": 8}


def read(**fields: Any) -> CacheLayout:
    layout = read_layout(parse_config({**BASE, **fields}, name="test", source="test"))
    assert layout_problems(layout) == []
    return layout


def shapes(layout: CacheLayout, layer: int) -> dict[str, tuple[int, ...]]:
    return {
        field.name: field.shape for cache in layout.layers[layer].owns for field in cache.fields
    }


def test_every_head_keeps_its_own_unless_told_otherwise() -> None:
    assert shapes(read(), 0) == {"k": (8, 32), "v": (8, 32)}
    assert shapes(read(num_key_value_heads=2), 0) == {"k": (2, 32), "v": (2, 32)}
    assert shapes(read(multi_query=True), 0) == {"k": (1, 32), "v": (1, 32)}


def test_falcons_new_architecture_is_not_multi_query() -> None:
    fields = {"multi_query": True, "new_decoder_architecture": True, "num_kv_heads": 4}
    assert shapes(read(**fields), 0)["k"] == (4, 32)


def test_values_may_be_narrower_than_keys() -> None:
    assert shapes(read(head_dim=192, v_head_dim=128), 0) == {"k": (8, 192), "v": (8, 128)}


def test_k_that_is_v_is_stored_once() -> None:
    fields = {
        "layer_types": ["full_attention", "sliding_attention"],
        "sliding_window": 16,
        "num_global_key_value_heads": 2,
        "global_head_dim": 64,
        "attention_k_eq_v": True,
    }
    layout = read(**fields)
    assert shapes(layout, 0) == {"kv": (2, 64)}, "Gemma 4: the full layers, of other sizes"
    assert shapes(layout, 1) == {"k": (8, 32), "v": (8, 32)}


def test_windowed_layers_may_have_sizes_of_their_own() -> None:
    # MiMo-V2: 4 KV heads in full layers and 8 in windowed ones, keys of 192, values of 128
    layout = read(
        hybrid_layer_pattern=[0, 1],
        sliding_window=128,
        num_key_value_heads=4,
        head_dim=192,
        v_head_dim=128,
        swa_num_key_value_heads=8,
        swa_head_dim=96,
        swa_v_head_dim=64,
    )
    assert shapes(layout, 0) == {"k": (4, 192), "v": (4, 128)}
    assert shapes(layout, 1) == {"k": (8, 96), "v": (8, 64)}
    assert [layer.owns[0].keep for layer in layout.layers] == [All(), Last(128)]


def test_chunks_keep_since_the_last_boundary() -> None:
    layout = read(attention_chunk_size=64, no_rope_layers=[1, 0])
    assert [layer.owns[0].keep for layer in layout.layers] == [Chunk(64), All()]


def test_mla_keeps_a_latent_for_all_heads() -> None:
    assert shapes(read(kv_lora_rank=512, qk_rope_head_dim=64), 0) == {
        "latent": (512,),
        "k_rope": (64,),
    }


def test_longcat_has_two_sublayers_a_layer() -> None:
    fields = {
        "model_type": "longcat_flash",
        "num_layers": 3,
        "num_attention_heads": 8,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
    }
    assert len(lay_out(parse_config(fields, name="x", source="x")).layout.layers) == 6


# ---------------------------------------------------------------- states


def test_mamba_1() -> None:
    # inner = expand * hidden; the convolution keeps d_conv - 1 inputs
    fields = {"state_size": 16, "conv_kernel": 4, "expand": 2}
    document = {"num_hidden_layers": 1, "hidden_size": 64, **fields}
    layout = read_layout(parse_config(document, name="x", source="x"))
    assert shapes(layout, 0) == {"conv_state": (3, 128), "ssm_state": (128, 16)}
    given = read_layout(parse_config({**document, "intermediate_size": 96}, name="x", source="x"))
    assert shapes(given, 0)["ssm_state"] == (96, 16), "a pure Mamba gives its inner size"
    assert given.layers[0].owns[0].keep == Once()


def test_a_hybrids_intermediate_size_is_its_mlps() -> None:
    layout = read(
        layer_types=["mamba", "attention"],
        intermediate_size=9999,
        mamba_d_state=16,
        mamba_d_conv=4,
        mamba_expand=2,
    )
    assert shapes(layout, 0) == {"conv_state": (3, 512), "ssm_state": (512, 16)}


def test_mamba_2() -> None:
    # the convolution runs over x, B and C: heads * head_dim + 2 * groups * d_state channels
    fields = {"mamba_n_heads": 16, "mamba_d_head": 32, "mamba_n_groups": 2}
    layout = read(layer_types=["mamba", "hybrid"], mamba_d_state=64, mamba_d_conv=4, **fields)
    assert shapes(layout, 0) == {"conv_state": (3, 512 + 256), "ssm_state": (16, 32, 64)}
    assert list(shapes(layout, 1)) == ["k", "v", "conv_state", "ssm_state"], "both side by side"


def test_mamba_2_may_leave_its_head_size_to_division() -> None:
    fields = {"mamba_d_head": "auto", "mamba_expand": 2, "mamba_d_state": 64, "mamba_d_conv": 4}
    layout = read(layer_types=["mamba"] * 2, mamba_n_heads=16, **fields)
    assert shapes(layout, 0)["ssm_state"] == (16, 32, 64)  # 2 * 256 / 16
    with pytest.raises(ConfigError, match=r"7 Mamba heads do not divide .* 512"):
        read(layer_types=["mamba"] * 2, mamba_n_heads=7, **fields)


def test_a_convolution_of_one_keeps_nothing_and_is_refused() -> None:
    with pytest.raises(ConfigError, match="mamba_d_conv is 1"):
        read(layer_types=["mamba"] * 2, mamba_d_state=16, mamba_d_conv=1)


def test_a_gated_delta_net() -> None:
    layout = read(
        full_attention_interval=2,
        linear_num_key_heads=4,
        linear_num_value_heads=8,
        linear_key_head_dim=16,
        linear_value_head_dim=32,
        linear_conv_kernel_dim=4,
    )
    # q and k of 4 * 16, v of 8 * 32: 2 * 64 + 256 channels
    assert shapes(layout, 0) == {"conv_state": (3, 384), "recurrent_state": (8, 32, 16)}
    assert shapes(layout, 1) == {"k": (8, 32), "v": (8, 32)}


def test_kda() -> None:
    config = {"full_attn_layers": [2], "num_heads": 4, "head_dim": 16, "short_conv_kernel_size": 4}
    layout = read(linear_attn_config=config)
    assert shapes(layout, 0) == {"conv_state": (3, 3 * 64), "recurrent_state": (4, 16, 16)}


def test_a_short_convolution_and_a_recurrence() -> None:
    assert shapes(read(full_attn_idxs=[1], conv_L_cache=3), 0) == {"conv_state": (2, 256)}
    griffin = read(
        block_types=["recurrent", "attention"],
        attention_window_size=16,
        lru_width=100,
        conv1d_width=4,
    )
    assert shapes(griffin, 0) == {"conv_state": (3, 100), "recurrent_state": (100,)}


def test_layers_that_keep_nothing_have_their_place() -> None:
    fields = {"mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 16, "conv_kernel": 4}
    layout = read(num_hidden_layers=3, hybrid_override_pattern="M-*", **fields)
    assert [len(layer.owns) for layer in layout.layers] == [1, 0, 1]


# ---------------------------------------------------------------- sharing and sparse attention


def test_the_last_layers_read_what_the_last_owner_of_their_kind_keeps() -> None:
    layout = read(
        num_hidden_layers=6,
        layer_types=["sliding", "full", "sliding", "sliding", "full", "sliding"],
        sliding_window=16,
        num_kv_shared_layers=3,
    )
    assert [len(layer.owns) for layer in layout.layers] == [1, 1, 1, 0, 0, 0]
    read_from = [[a.layer for a in layer.does if a.mode is Mode.READ] for layer in layout.layers]
    assert read_from == [[0], [1], [2], [2], [1], [2]]
    spans = [next(a.span for a in layer.does if a.mode is Mode.READ) for layer in layout.layers]
    assert spans == [Last(16), All(), Last(16), Last(16), All(), Last(16)]


def test_gemma_3n_owns_20_of_35() -> None:
    layout = catalogue_model("gemma-3n-e4b").layout
    assert sum(bool(layer.owns) for layer in layout.layers) == 20
    assert all(any(a.mode is Mode.READ for a in layer.does) for layer in layout.layers)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_kv_shared_layers": 2}, "layer 0 shares a full cache that no layer before it owns"),
        ({"num_kv_shared_layers": 99}, "layer 0 shares"),
        ({"num_kv_shared_layers": -1}, "num_kv_shared_layers is -1"),
        (
            {
                "num_kv_shared_layers": 1,
                "layer_types": ["attention", "mamba"],
                "mamba_d_state": 16,
                "mamba_d_conv": 4,
            },
            "layer 1 is a mamba layer",
        ),
    ],
)
def test_sharing_that_cannot_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(**fields)


MLA = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "num_hidden_layers": 3}


def test_every_layer_has_an_indexer() -> None:
    layout = read(**MLA, index_head_dim=128, index_topk=100)
    assert shapes(layout, 2) == {"latent": (512,), "k_rope": (64,), "index_k": (128,)}
    spans = {a.key: a.span for a in layout.layers[2].does if a.mode is Mode.READ}
    assert spans == {"indexer": All(), "latent": TopK(100)}


def test_an_indexers_choice_may_be_shared() -> None:
    layout = read(**MLA, index_head_dim=128, indexer_types=["full", "shared", "full"])
    assert [len(layer.owns) for layer in layout.layers] == [2, 1, 2]
    assert [a.span for a in layout.layers[1].does if a.mode is Mode.READ] == [TopK(2048)]


def test_sparse_layers_may_be_flagged() -> None:
    sparse = {"sparse_attention_freq": [0, 1], "sparse_index_dim": 64}
    layout = read(sparse_attention_config=sparse)
    assert [len(layer.owns) for layer in layout.layers] == [1, 2]
    assert shapes(layout, 1)["index_k"] == (64,)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"index_head_dim": 64, "indexer_types": ["full"]}, "indexer_types"),
        ({"index_head_dim": 64, "indexer_types": ["full", "odd"]}, "indexer_types"),
        ({"index_head_dim": 64, "index_topk": 0}, "index_topk is 0"),
        ({"sparse_attention_config": {"sparse_attention_freq": [1]}}, "sparse_attention_freq"),
        ({"sparse_attention_config": {"sparse_attention_freq": 1}}, "sparse_attention_freq"),
        (
            {
                "index_head_dim": 64,
                "hybrid_override_pattern": "M-",
                "ssm_state_size": 16,
                "conv_kernel": 4,
            },
            "layer 0 is a mamba layer, where kvprof reads no sparse attention",
        ),
    ],
)
def test_sparse_attention_that_cannot_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(**fields)


# ---------------------------------------------------------------- layers of their own


def test_a_layers_own_fields_are_laid_over_the_configs() -> None:
    """Gemma 4 as the library saves it; numbers may be padded with zeros."""
    layout = read(
        num_hidden_layers=3,
        num_key_value_heads=4,
        head_dim=16,
        layer_types=["sliding_attention", "full_attention", "full_attention"],
        sliding_window=8,
        per_layer_config={"01": {"head_dim": 32}, "2": {"head_dim": 64, "num_key_value_heads": 1}},
    )
    assert [shapes(layout, i)["k"] for i in range(3)] == [(4, 16), (4, 32), (1, 64)]


def test_lists_hold_a_value_for_each_layer() -> None:
    """OpenELM."""
    layout = read(num_kv_heads=[2, 4], num_attention_heads=[4, 8], head_dim=32)
    assert [shapes(layout, i)["k"] for i in range(2)] == [(2, 32), (4, 32)]


def test_nemotron_super_has_kv_heads_by_layer() -> None:
    blocks = [
        {"attention": {"n_heads_in_group": 4}},
        {"attention": {"no_op": True}},
    ]
    layout = read(block_configs=blocks)
    assert shapes(layout, 0)["k"] == (2, 32)
    assert layout.layers[1].owns == ()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"per_layer_config": {"2": {}}}, "layer '2' of 2 layers"),
        ({"per_layer_config": {"x": {}}}, "layer 'x' of 2 layers"),
        ({"per_layer_config": {"0": 7}}, "must hold fields"),
        ({"per_layer_config": 7}, "must hold fields by layer"),
        ({"block_configs": [{"attention": {"n_heads_in_group": 3}}] * 2}, "does not divide"),
        ({"num_kv_heads": [2, 4, 8]}, "num_kv_heads is"),
    ],
)
def test_fields_by_layer_that_cannot_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(**fields)


def test_the_owner_of_a_cache_may_be_named() -> None:
    """Mistral Large 4: a layer that shares a latent still keeps its indexer's keys."""
    layout = read(
        **{**MLA, "num_hidden_layers": 4},
        index_head_dim=16,
        kv_source_layers=[0, 0, 0, 3],
        indexer_types=["full", "full", "shared", "full"],
    )
    keys = [[cache.key for cache in layer.owns] for layer in layout.layers]
    assert keys == [["latent", "indexer"], ["indexer"], [], ["latent", "indexer"]]
    assert any(a.layer == 0 and a.key == "latent" for a in layout.layers[2].does)


def test_neighbours_may_share() -> None:
    """Hunyuan Large: two layers, one cache."""
    layout = read(num_hidden_layers=5, cla_share_factor=2, use_cla=True)
    assert [len(layer.owns) for layer in layout.layers] == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("sources", "words"),
    [([0], "names 1 layers"), ([1, 1], "no owner"), ([0, -1], "kv_source_layers is -1")],
)
def test_owners_that_cannot_be(sources: list[int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(kv_source_layers=sources)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"index_topk_pattern": "FSF"}, [1, 0, 1]),
        # every second from the layer before the offset on
        ({"index_topk_freq": 2, "index_skip_topk_offset": 1}, [1, 0, 1]),
        ({"index_topk_freq": 2, "index_skip_topk_offset": 2}, [1, 1, 0]),
    ],
)
def test_short_forms_of_shared_indexers(fields: dict[str, Any], expected: list[int]) -> None:
    layout = read(**MLA, index_head_dim=16, **fields)
    kept = [sum(c.key == "indexer" for c in layer.owns) for layer in layout.layers]
    assert kept == expected


def test_a_pooled_indexer_keeps_a_key_for_a_pool_and_a_tail() -> None:
    layout = read(**MLA, index_head_dim=16, index_kpool=4)
    caches = {cache.key: cache for cache in layout.layers[0].owns}
    assert caches["indexer"].entry_tokens == 4
    assert str(caches["indexer_tail"].keep) == "Tail(4)"


def test_cross_attention_may_have_heads_of_its_own() -> None:
    layout = read(is_encoder_decoder=True, cross_num_key_value_heads=2, cross_head_dim=16)
    own, cross = layout.layers[0].owns
    assert (own.fields[0].shape, cross.fields[0].shape) == ((8, 32), (2, 16))
    assert [a.mode for a in layout.layers[0].does if a.key == cross.key] == [Mode.READ]


def test_inkling_convolves_what_it_keeps_and_what_it_makes() -> None:
    layout = read(
        layer_types=["hybrid_sliding", "hybrid"],
        sliding_window_size=16,
        swa_num_key_value_heads=2,
        swa_head_dim=16,
        conv_kernel_size=4,
        rel_extent=16,
    )
    windowed = shapes(layout, 0)
    assert windowed["k_conv_state"] == windowed["v_conv_state"] == (3, 2 * 16)
    assert shapes(layout, 1)["k_conv_state"] == (3, 8 * 32)
    assert shapes(layout, 1)["mlp_conv_state"] == (3, 256)


def test_convolutions_of_keys_that_a_layer_has_not_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\(rel_extent\) in a layer without any"):
        read(layer_types=["linear_attention", "full_attention"], rel_extent=16)


def test_a_soft_prompt_is_kept_before_the_first_token() -> None:
    layout = read(prompt_length=5, prompt_types=4)
    prompt = layout.layers[0].owns[1]
    assert (prompt.fields[0].shape, prompt.keep) == ((5, 8, 32), Once())
    assert read(prompt_length=5).layers[0].owns[1:] == (), "MVP's is an option of its training"


# ---------------------------------------------------------------- multi-token prediction


def drafted(layout: CacheLayout) -> list[list[str]]:
    return [[cache.key for cache in layer.owns] for layer in layout.draft]


def test_predicting_layers_are_apart_and_numbered_on() -> None:
    layout = read(num_nextn_predict_layers=2, sliding_window=16, sliding_window_pattern=2)
    assert len(layout.layers) == 2
    assert [layer.index for layer in layout.draft] == [2, 3]
    assert drafted(layout) == [["attention"]] * 2, "of the kind that keeps every token"
    assert drafted(read()) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({**MLA, "index_head_dim": 16, "num_nextn_predict_layers": 1}, [["latent", "indexer"]]),
        ({"mtp_num_hidden_layers": 1}, [["attention"]]),
        (
            {
                "num_nextn_predict_layers": 1,
                "sliding_window": 16,
                "layer_types": ["full_attention"] * 2 + ["sliding_attention"],
            },
            [["sliding_attention"]],
        ),
        (
            {"num_mtp_modules": 2, "mtp_layers_block_type": ["full_attention", "moe"]},
            [["attention"], []],
        ),
        (
            {"num_nextn_predict_layers": 1, "mtp_layers_block_type": ["full_attention", "moe"]},
            [["attention"], []],
        ),
    ],
)
def test_what_predicting_layers_keep(fields: dict[str, Any], expected: list[list[str]]) -> None:
    assert drafted(read(**fields)) == expected


def test_a_windowed_predictor_is_as_the_windowed_layers() -> None:
    """MiMo-V2: its predictors have the KV heads of a window."""
    layout = read(
        model_type="mimo_v2_flash",
        hybrid_layer_pattern=[0, 1],
        sliding_window=16,
        swa_num_key_value_heads=4,
        num_nextn_predict_layers=1,
    )
    (cache,) = layout.draft[0].owns
    assert (cache.keep, cache.fields[0].shape) == (Last(16), (4, 32))
