"""Each family's reference, worked out by hand; and what its config may say, and may not."""

from typing import Any

import pytest
from msgspec.structs import replace

from kvprof.accounting import cache_groups, entry_bytes, logical_bytes, step_traffic
from kvprof.binding import Dtypes, bind
from kvprof.config_file import parse_config
from kvprof.errors import ConfigError
from kvprof.layout import Cache, CacheLayout, Last, Mode
from kvprof.model import Model, lay_out, reference_model
from kvprof.registry import registry
from kvprof.size import Request, size_model
from kvprof.tensor_parallel import rank_layout

BFLOAT16 = Dtypes("bfloat16", "bfloat16", "bfloat16")

# reference, label, then per_token, growing_per_token, window, fixed_per_sequence in bytes, all in
# bfloat16 (2 B)
FAMILIES: dict[str, tuple[str, str, int, int, int, int]] = {
    # Whisper tiny: 4 layers * K and V * 6 heads * 64 * 2 B; what the encoder made is no token's
    "cross": ("whisper-tiny", "cross", 4 * 2 * 6 * 64 * 2, 6_144, 0, 0),
    # RWKV-4 7B: 32 layers * (2 last inputs + numerator, denominator, maximum) of 4096 * 2 B
    "rwkv": ("rwkv-4-7b", "linear", 0, 0, 0, 32 * (2 + 3) * 4096 * 2),
    # RecurrentGemma 2B: every third of 26 layers attends: 8 * K and V * 1 head * 256 * 2 B = 1,024
    # B, 2,048 entries; 18 keep a vector of 2560 and 3 inputs of their convolution
    "rg_lru": (
        "recurrentgemma-2b",
        "hybrid",
        8 * 1_024,
        0,
        8 * 2_048 * 1_024,
        18 * (1 + 3) * 2560 * 2,
    ),
    # Zamba2 2.7B: the shared block is called in 9 layers, K and V * 32 heads * 160 * 2 B each; all
    # 54 keep 80 heads * 64 * 64 and 3 inputs of 5120 + 2 * 64 channels
    "zamba": (
        "zamba2-2.7b",
        "hybrid",
        9 * 2 * 32 * 160 * 2,
        184_320,
        0,
        54 * (80 * 64 * 64 + 3 * 5_248) * 2,
    ),
    # xLSTM 7B: 32 layers * 8 heads * (256 * 512 matrix + 256 normaliser + 1 stabiliser)
    "xlstm": ("xlstm-7b", "linear", 0, 0, 0, 32 * 8 * (256 * 512 + 256 + 1) * 2),
    # MiniMax-01: 10 layers * K and V * 8 heads * 128 * 2 B; 70 keep 64 heads * 128 * 128
    "lightning": (
        "minimax-01",
        "hybrid",
        10 * 2 * 8 * 128 * 2,
        40_960,
        0,
        70 * 64 * 128 * 128 * 2,
    ),
    # Nemotron Super 49B: 49 of 80 layers attend: K and V * 64 / 8 heads * 128 * 2 B
    "variable": ("llama-nemotron-super-49b", "gqa", 49 * 2 * 8 * 128 * 2, 200_704, 0, 0),
    # Llama 4 Scout: 48 layers * K and V * 8 heads * 128 * 2 B = 4,096 B each; every fourth keeps
    # all, 36 a chunk of at most 8,192
    "chunked": (
        "llama-4-scout",
        "chunked",
        48 * 4_096,
        12 * 4_096,
        36 * 8_192 * 4_096,
        0,
    ),
    # Falcon-H1 7B: 44 layers, each K and V * 2 heads * 128 * 2 B, and 24 heads * 128 * 256 with 3
    # inputs of 3072 + 2 * 256 channels
    "parallel": (
        "falcon-h1-7b",
        "hybrid",
        44 * 2 * 2 * 128 * 2,
        45_056,
        0,
        44 * (24 * 128 * 256 + 3 * 3_584) * 2,
    ),
    # Gemma 3n E4B: 20 of 35 layers own K and V * 2 heads * 256 * 2 B = 2,048 B; 4 of them keep
    # all, 16 the last 512
    "shared": ("gemma-3n-e4b", "sliding", 20 * 2_048, 4 * 2_048, 16 * 512 * 2_048, 0),
    # LFM2 1.2B: 6 layers * K and V * 8 heads * 64 * 2 B; 10 keep 2 inputs of 2048
    "conv": ("lfm2-1.2b", "hybrid", 6 * 2 * 8 * 64 * 2, 12_288, 0, 10 * 2 * 2048 * 2),
    # LongCat-Flash: 28 layers * 2 sublayers * (512 + 64) * 2 B
    "double": ("longcat-flash", "mla", 28 * 2 * 576 * 2, 64_512, 0, 0),
    # Qwen3-Next 80B: 12 layers * K and V * 2 heads * 256 * 2 B; 36 keep 32 heads * 128 * 128 and 3
    # inputs of 2 * 16 * 128 + 32 * 128 = 8192 channels
    "gated_delta_net": (
        "qwen3-next-80b",
        "hybrid",
        12 * 2 * 2 * 256 * 2,
        24_576,
        0,
        36 * (32 * 128 * 128 + 3 * 8_192) * 2,
    ),
    # DeepSeek V3.2: 61 layers * (512 + 64 and an indexer key of 128) * 2 B
    "sparse": ("deepseek-v3.2", "sparse", 61 * (576 + 128) * 2, 85_888, 0, 0),
    # Kimi Linear 48B: 7 layers * 576 * 2 B; 20 keep 32 heads * 128 * 128 and 3 inputs of
    # 3 * 32 * 128 channels
    "kda": (
        "kimi-linear-48b",
        "hybrid",
        7 * 576 * 2,
        8_064,
        0,
        20 * (32 * 128 * 128 + 3 * 12_288) * 2,
    ),
    # Qwen3-VL 4B: 36 layers * K and V * 8 heads * 128 * 2 B
    "multimodal": ("qwen3-vl-4b", "gqa", 36 * 2 * 8 * 128 * 2, 147_456, 0, 0),
    # DeepSeek V4 Flash: an entry is 448 + 64 = 512 elements, 1,024 B.
    # growing: 21 layers with one for 4 tokens and an indexer key of 256 B for 4; 20 with one for
    # 128: 21 * (1024 + 256) / 4 + 20 * 1024 / 128 = 6,720 + 160.
    # windows: 43 layers, of 128 entries.
    # tails: of each token that is in no whole group kv and gate, in two series of 512 where groups
    # overlap (4,096 B, and 1,024 B for the indexer), else one (2,048 B): at most 3, 3 and 127.
    # overlaps: of the last group of 4 kv and gate, 4 * 512 (8,192 B) and 4 * 128 (2,048 B).
    "compressed": (
        "deepseek-v4-flash",
        "compressed",
        6_880 + 43 * 1_024 + 21 * (4_096 + 1_024) + 20 * 2_048 + 21 * (8_192 + 2_048) // 4,
        6_880,
        43 * 128 * 1_024 + 21 * 3 * (4_096 + 1_024) + 20 * 127 * 2_048 + 21 * (8_192 + 2_048),
        0,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_reference(family: str) -> None:
    name, label, per_token, growing, window, fixed = FAMILIES[family]
    model = reference_model(family)
    request = Request(tokens=4096, cache_dtype="bfloat16", state_dtype="bfloat16")
    result = size_model(model, registry().engine("logical").what, request)
    assert (model.config.name, model.architecture, model.inferred) == (name, label, False)
    assert result.bytes.per_token == per_token
    assert result.bytes.growing_per_token == growing
    assert result.bytes.window == window
    assert result.bytes.fixed_per_sequence == fixed


def test_every_family_has_a_reference_of_its_own_worked_out() -> None:
    classic = {"mha", "mqa", "gqa", "mla", "sliding", "ssm", "ssm2", "hybrid", "linear"}
    assert set(registry().architectures) >= set(FAMILIES) | classic
    for offered in registry().architectures.values():
        assert len(offered.what.summary) <= 90, "one line of a table"


def test_one_built_in_architecture_claims_a_model_type() -> None:
    """Else the order of loading would decide; xLSTM goes by two names."""
    claims: dict[str, list[str]] = {}
    for name, offered in registry().architectures.items():
        for model_type in offered.what.model_types:
            claims.setdefault(model_type, []).append(name)
    shared = {model_type: names for model_type, names in claims.items() if len(names) > 1}
    assert shared == {"xlstm": ["linear", "xlstm"]}


def read(fields: dict[str, Any]) -> Model:
    return lay_out(parse_config(fields, name="test", source="test"))


def held_bytes(layout: CacheLayout, tokens: int, encoder_tokens: int = 0) -> int:
    return logical_bytes(cache_groups(bind(layout, BFLOAT16)), tokens, encoder_tokens)


# ---------------------------------------------------------------- compressed attention

V4 = {
    "model_type": "deepseek_v4",
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "head_dim": 32,
    "qk_rope_head_dim": 8,
    "sliding_window": 8,
    "index_head_dim": 16,
    "index_topk": 4,
    "num_nextn_predict_layers": 1,
    "compress_ratios": [0, 4, 128, 4, 0],
}


def test_what_each_layer_of_deepseek_v4_keeps() -> None:
    layout = read(V4).layout
    window, csa, hca, again = layout.layers
    assert [cache.key for cache in window.owns] == ["sliding_latent"]
    assert [(cache.key, str(cache.keep), cache.entry_tokens) for cache in csa.owns] == [
        ("sliding_latent", "Last(8)", 1),
        ("compressed_latent", "All", 4),
        ("indexer", "All", 4),
        ("compressor_tail", "Tail(4)", 1),
        ("compressor_overlap", "Last(1)", 4),
        ("indexer_tail", "Tail(4)", 1),
        ("indexer_overlap", "Last(1)", 4),
    ]
    assert [(cache.key, str(cache.keep), cache.entry_tokens) for cache in hca.owns] == [
        ("sliding_latent", "Last(8)", 1),
        ("compressed_latent", "All", 128),
        ("compressor_tail", "Tail(128)", 1),
    ]
    assert again.owns == csa.owns
    assert [(layer.index, layer.owns) for layer in layout.draft] == [(4, window.owns)]


@pytest.mark.parametrize(
    ("tokens", "measured"), [(3, 4032), (8, 6080), (24, 8896), (130, 12672), (301, 25728)]
)
def test_deepseek_v4_as_transformers_keeps_it(tokens: int, measured: int) -> None:
    """Bytes of all tensors of the cache of a tiny model, in transformers 5.23.0.

    Its windows keep an entry less between steps; layers that are nothing else keep K and V apart.
    """

    def kept(cache: Cache) -> Cache:
        if not isinstance(cache.keep, Last) or cache.key != "sliding_latent":
            return cache
        return replace(cache, keep=Last(cache.keep.n - 1))

    model = read(V4 | {"num_hidden_layers": 5})  # the draft model's layer is run as another here
    layers = tuple(
        replace(layer, owns=tuple(kept(cache) for cache in layer.owns))
        for layer in model.layout.layers
    )
    k_and_v_apart = 2 * min(tokens, 7) * 32 * 2  # layers 0 and 4
    ours = held_bytes(CacheLayout(layers), tokens)
    assert ours + k_and_v_apart == measured


def test_compressed_attention_by_hand_at_1000_tokens() -> None:
    """One entry for 128 tokens: 7 entries and a tail of 104."""
    fields = V4 | {"num_hidden_layers": 1, "compress_ratios": [128], "head_dim": 512}
    # window 8, entries 7, of 512 elements; a tail of 104 * kv and gate of 512; 2 B each
    assert held_bytes(read(fields).layout, 1000) == (8 + 7 + 104 * 2) * 512 * 2


def test_a_step_reads_the_chosen_entries_and_not_all() -> None:
    layout = bind(read(V4).layout, BFLOAT16)
    read_bytes = {
        (moved.cache, moved.sparse): moved.bytes_read
        for moved in step_traffic(layout, 1024)
        if moved.mode is Mode.READ
    }
    entry = 32 * 2
    assert read_bytes["sliding_latent", False] == 4 * 8 * entry
    assert read_bytes["compressed_latent", True] == 2 * 4 * entry  # index_topk of 256 entries
    assert read_bytes["compressed_latent", False] == 8 * entry  # all that stand for 128 tokens
    assert read_bytes["indexer", False] == 2 * 256 * 16 * 2


def test_layer_types_say_the_same_as_compress_ratios() -> None:
    """As transformers saves what was published with ratios; the last is the draft model's."""
    saved = {name: value for name, value in V4.items() if name != "compress_ratios"}
    words = ["sliding", "compressed_sparse", "heavily_compressed", "compressed_sparse"]
    saved["layer_types"] = [f"{word}_attention" for word in words]
    saved["compress_rates"] = {
        "compressed_sparse_attention": 4,
        "heavily_compressed_attention": 128,
    }
    assert read(saved).layout.layers == read(V4).layout.layers


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"compress_ratios": [0, 4]}, "2 layers compress; there are 4 and 1 to draft"),
        ({"compress_ratios": [0, 4, 128, 4, 0, 0]}, "6 layers compress"),
        ({"compress_ratios": [0, -4, 128, 4]}, r"compress_ratios\[1\] is -4"),
        ({"compress_ratios": None}, "neither compress_ratios nor layer_types"),
        ({"layer_types": ["full_attention"] * 4}, "full_attention"),
        ({"qk_rope_head_dim": 32}, "head_dim 32 must be more than qk_rope_head_dim 32"),
    ],
)
def test_what_deepseek_v4_cannot_say(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(V4 | change)


# ---------------------------------------------------------------- cross attention


def test_what_an_encoder_made_is_counted_by_its_positions() -> None:
    # 4 layers, K and V of 6 heads of 64, 2 B: 6,144 B a token and again a position
    layout = reference_model("cross").layout
    assert held_bytes(layout, 448, 1500) == (448 + 1500) * 6_144


# ---------------------------------------------------------------- recurrences


@pytest.mark.parametrize(
    ("fields", "state_bytes"),
    [
        # RWKV-6 7B: 32 layers * (64 heads * 64 * 64 + 2 inputs of 4096): 16.5 MiB
        ({"model_type": "rwkv6", "hidden_size": 4096, "head_size": 64}, 17_301_504),
        # RWKV-7 2.9B: 32 layers * (40 * 64 * 64 + 2 * 2560): 10.3125 MiB
        ({"model_type": "rwkv7", "hidden_size": 2560, "head_dim": 64}, 10_813_440),
    ],
)
def test_rwkv_with_a_matrix_per_head(fields: dict[str, Any], state_bytes: int) -> None:
    assert held_bytes(read({"num_hidden_layers": 32, **fields}).layout, 9) == state_bytes


def test_ranks_share_the_state_of_rwkv_and_not_its_inputs() -> None:
    """Each rank mixes the whole input of its layer with the one before."""
    layout = rank_layout(reference_model("rwkv").layout, 4)
    assert held_bytes(layout, 9) == 32 * (2 * 4096 + 3 * 4096 // 4) * 2


def test_lightning_layers_as_transformers_saves_them() -> None:
    """Its class has every other layer attend, and says so in words when saved."""
    fields = {
        "model_type": "minimax",
        "num_hidden_layers": 3,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    words = ["full_attention", "linear_attention", "full_attention"]
    layout = read(fields).layout
    assert layout == read(fields | {"layer_types": words}).layout
    # layers 0 and 2: K and V * 2 heads * 16 * 2 B; layer 1: 4 heads * 16 * 16 * 2 B
    assert held_bytes(layout, 48) == 2 * 48 * 2 * 2 * 16 * 2 + 4 * 16 * 16 * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attn_type_list": [0, 1]}, "2 layers are, but there are 3"),
        ({"attn_type_list": [0, 1, 2]}, "0 or 1"),
        ({"attn_type_list": None}, "neither layer_types nor attn_type_list"),
    ],
)
def test_what_minimax_cannot_say(change: dict[str, Any], words: str) -> None:
    fields = {
        "model_type": "minimax_text_01",
        "num_hidden_layers": 3,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "attn_type_list": [0, 0, 1],
    }
    with pytest.raises(ConfigError, match=words):
        read(fields | change)


def test_ling_3_mixes_kda_and_latents_by_its_class_defaults() -> None:
    fields = {"model_type": "bailing_hybrid", "num_hidden_layers": 42, "num_attention_heads": 32}
    latent, state = 576 * 2, (32 * 128 * 128 + 3 * 3 * 32 * 128) * 2
    # every sixth of 42 layers
    assert held_bytes(read(fields).layout, 100) == 7 * 100 * latent + 35 * state


# ---------------------------------------------------------------- Mamba beside attention


@pytest.mark.parametrize(
    ("fields", "layer_bytes"),
    [
        # transformers 5.23.0, tiny: K and V [2, 16], a state [4, 16, 16] and 3 inputs of
        # 64 + 2 * 16 = 96 channels
        (
            {
                "model_type": "falcon_h1",
                "num_hidden_layers": 1,
                "num_key_value_heads": 2,
                "mamba_d_ssm": 64,
                "mamba_n_heads": 4,
                "mamba_d_state": 16,
            },
            48 * 2 * 2 * 16 * 2 + (4 * 16 * 16 + 3 * 96) * 2,
        ),
        # the same, where mamba_d_ssm is null: 2 * 64 = 128 inner channels in heads of 32
        (
            {
                "model_type": "falcon_h1",
                "num_hidden_layers": 1,
                "num_key_value_heads": 2,
                "mamba_d_ssm": None,
                "mamba_n_heads": 4,
                "mamba_d_state": 16,
            },
            48 * 2 * 2 * 16 * 2 + (4 * 32 * 16 + 3 * 160) * 2,
        ),
        # the shared block sees twice the hidden size: heads of 2 * 64 / 4; a state [4, 32, 16] and
        # 3 inputs of 128 + 2 * 16 = 160 channels
        (
            {
                "model_type": "zamba2",
                "num_hidden_layers": 1,
                "layers_block_type": ["hybrid"],
                "n_mamba_heads": 4,
                "mamba_d_state": 16,
            },
            48 * 2 * 4 * 32 * 2 + (4 * 32 * 16 + 3 * 160) * 2,
        ),
        # Zamba's Mamba is of the first kind: 128 channels * 16, and 3 inputs of them
        (
            {
                "model_type": "zamba",
                "num_hidden_layers": 1,
                "layers_block_type": ["hybrid"],
                "num_key_value_heads": 4,
                "mamba_d_state": 16,
            },
            48 * 2 * 4 * 32 * 2 + (128 * 16 + 3 * 128) * 2,
        ),
    ],
)
def test_a_layer_with_attention_and_mamba(fields: dict[str, Any], layer_bytes: int) -> None:
    whole = {"hidden_size": 64, "num_attention_heads": 4, **fields}
    assert held_bytes(read(whole).layout, 48) == layer_bytes


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model_type": "falcon_h1", "mamba_n_heads": 3}, "3 Mamba heads do not divide"),
        ({"model_type": "falcon_h1", "mamba_d_head": 9}, "heads of 9 are no inner size"),
        ({"model_type": "zamba2", "n_mamba_heads": 3}, "3 Mamba heads do not divide"),
        ({"model_type": "zamba2", "layers_block_type": ["mamba"]}, "for each of 2"),
        ({"model_type": "zamba", "layers_block_type": ["mamba", "x"]}, "layers_block_type"),
        ({"model_type": "zamba", "mamba_d_conv": 1}, "mamba_d_conv is 1"),
        ({"model_type": "longcat_flash"}, "kv_lora_rank"),
        ({"model_type": "nemotron-nas"}, "block_configs"),
        ({"model_type": "rwkv6", "head_size": 48}, "48 do not divide an attention of 64"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], words: str) -> None:
    whole = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}
    with pytest.raises(ConfigError, match=words):
        read(whole | {"num_key_value_heads": 4} | fields)


def test_sizes_that_are_made_of_several_numbers_are_bounded_too() -> None:
    """2**30 heads of 2**30 are each a number that is read; their channels are not."""
    fields = {
        "model_type": "falcon_h1",
        "num_hidden_layers": 1,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "mamba_d_ssm": 2**30,
        "mamba_n_heads": 2**20,
        "mamba_n_groups": 2**20,
        "mamba_d_state": 2**20,
    }
    with pytest.raises(ConfigError, match="channels of conv_state comes to"):
        read(fields)
    with pytest.raises(ConfigError, match="20000 layers"):
        read(
            {
                "model_type": "longcat_flash",
                "num_layers": 10_000,
                "num_attention_heads": 4,
                "kv_lora_rank": 8,
                "qk_rope_head_dim": 8,
            }
        )


def test_double_sublayers_are_numbered_as_engines_number_them() -> None:
    layout = reference_model("double").layout
    assert len(layout.layers) == 56
    assert {entry_bytes(cache) for _, cache in bind(layout, BFLOAT16).caches()} == {1152}
