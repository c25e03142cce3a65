"""Configs are untrusted: whatever a file holds, the answer is a layout or one clear ConfigError."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof.catalogue import read_catalogue
from kvprof.config import MAX_LAYERS
from kvprof.config_file import MAX_CONFIG_BYTES, parse_config, read_config
from kvprof.conformance import layout_problems
from kvprof.errors import ConfigError, UsageError
from kvprof.layout import CacheLayout
from kvprof.model import config_model, lay_out

SHARED_CONFIGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "configs"

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 4,
    "hidden_size": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}
MAMBA2 = {
    "model_type": "mamba2",
    "num_hidden_layers": 4,
    "hidden_size": 256,
    "num_heads": 8,
    "head_dim": 64,
    "state_size": 16,
}


def refusal(path: Path) -> str:
    """The message with which a config is refused: short, and of exit code 2."""
    with pytest.raises(ConfigError) as caught:
        config_model(str(path))
    assert isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert len(message) < 4000
    return message


def written(folder: Path, content: bytes | str | dict[str, Any]) -> Path:
    file = folder / "config.json"
    if isinstance(content, dict):
        content = json.dumps(content)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def laid_out(document: dict[str, Any]) -> CacheLayout:
    return lay_out(parse_config(document, name="test", source="test")).layout


# ---------------------------------------------------------------- files


def test_a_missing_file_says_what_the_option_takes(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere.json")
    assert "nowhere.json" in message
    assert "No such file" in message
    assert "kvprof list models" in message


def test_a_folder_stands_for_its_config(tmp_path: Path) -> None:
    folder = tmp_path / "my-llama"
    folder.mkdir()
    written(folder, LLAMA)
    model = config_model(str(folder))
    assert model.config.name == "my-llama"
    assert model.config.source == str(folder / "config.json")
    assert len(model.layout.layers) == 4


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    assert "config.json" in refusal(tmp_path)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="File name too long"):
        read_config("x" * 5000)
    with pytest.raises(ConfigError, match="null byte"):
        read_config("config\0.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["not valid JSON", "complete"]),
        (b"   \n", ["not valid JSON"]),
        (json.dumps(LLAMA)[:40].encode(), ["not valid JSON", "complete"]),
        (b"\x80\x02}q\x00X\x05", ["not a text file", "weights"]),
        (b"PK\x03\x04\x00\x00\xff", ["not a text file"]),
        (b"GGUF\x03\x00\x00\x00", ["ends after 8 bytes"]),
        (b"[" * 100_000, ["nested too deeply"]),
        (b'{"text_config":' * 100_000 + b"1" + b"}" * 100_000, ["nested too deeply"]),
        (
            b'{"text_config":' * 200 + b"{}" + b"}" * 200,
            ["nested too deeply", "more than 64 levels"],
        ),
        (b"[1, 2]", ["[1, 2]", "object"]),
        (b'"llama"', ['"llama"', "object"]),
        (b"null", ["null", "object"]),
        (b"1e400", ["Infinity", "object"]),
        (b'{"num_hidden_layers": ' + b"9" * 5000 + b"}", ["thousands of digits"]),
        (b'{"model_type": "llama", "model_type"', ["not valid JSON"]),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, content: bytes, words: list[str]) -> None:
    message = refusal(written(tmp_path, content))
    assert str(tmp_path) in message
    assert all(word in message for word in words), message


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, b" " * MAX_CONFIG_BYTES + b"{}"))
    assert str(MAX_CONFIG_BYTES) in message
    assert "weights" in message


def test_the_largest_file_that_is_read(tmp_path: Path) -> None:
    text = json.dumps(LLAMA).encode()
    file = written(tmp_path, text + b" " * (MAX_CONFIG_BYTES - len(text)))
    assert len(config_model(str(file)).layout.layers) == 4


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    file = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(LLAMA).encode())
    assert config_model(str(file)).config.model_type == "llama"


@settings(max_examples=60)
@given(cut=st.integers(0, 100))
def test_every_truncation_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    text = json.dumps(LLAMA)
    refusal(written(tmp_path_factory.mktemp("cut"), text[: min(cut, len(text) - 1)]))


@settings(max_examples=60)
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    refusal(written(tmp_path_factory.mktemp("bytes"), content))


# ---------------------------------------------------------------- numbers

BAD_NUMBERS = {
    "-1": "-1",
    "0": "0",
    "1.5": "1.5",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e30": "1e+30",
    "1e400": "Infinity",
    "2147483648": "2147483648",  # one past the largest dimension that is read
    "1" * 4000: "1" * 57,  # readable, but no dimension; shown in part
    "true": "true",
    '"32"': '"32"',
    "[32]": "[32]",
    '{"a": 1}': '{"a": 1}',
}


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: value[:12])
@pytest.mark.parametrize(
    "field",
    ["num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"],
)
def test_a_bad_number_is_named_with_its_field(tmp_path: Path, field: str, value: str) -> None:
    text = json.dumps({**LLAMA, field: "HERE"}).replace('"HERE"', value)
    message = refusal(written(tmp_path, text))
    assert field in message
    assert BAD_NUMBERS[value] in message
    assert "whole number" in message


@pytest.mark.parametrize("value", ["NaN", "-2", "0", "Infinity", "1e30", '"2"', "true", "0.3"])
def test_a_bad_factor_is_refused(tmp_path: Path, value: str) -> None:
    document = {**MAMBA2, "model_type": "mamba", "conv_kernel": 4, "expand": "HERE"}
    del document["num_heads"], document["head_dim"]
    text = json.dumps(document).replace('"HERE"', value)
    assert "expand" in refusal(written(tmp_path, text))


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert laid_out({**LLAMA, "num_key_value_heads": 2.0}) == laid_out(LLAMA)


def test_null_is_as_good_as_absent() -> None:
    without = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}
    assert laid_out({**LLAMA, "num_key_value_heads": None}) == laid_out(without)
    assert laid_out(without).layers[0].owns[0].fields[0].shape == (8, 32)


def test_the_largest_dimension_that_is_read() -> None:
    layout = laid_out({**LLAMA, "head_dim": 2**31 - 1})
    assert layout.layers[0].owns[0].fields[0].shape == (2, 2**31 - 1)


def test_dimensions_made_of_several_numbers_are_bounded_too() -> None:
    with pytest.raises(ConfigError, match=r"channels of conv_state comes to \d+"):
        laid_out({**MAMBA2, "state_size": 2**31 - 1})


@pytest.mark.parametrize("layers", [MAX_LAYERS + 1, 2**31 - 1])
def test_more_layers_than_any_model_has(layers: int) -> None:
    with pytest.raises(ConfigError, match=str(layers)):
        laid_out({**LLAMA, "num_hidden_layers": layers})
    assert len(laid_out({**LLAMA, "num_hidden_layers": MAX_LAYERS}).layers) == MAX_LAYERS


# ---------------------------------------------------------------- contradictions


def test_heads_that_do_not_divide() -> None:
    with pytest.raises(ConfigError, match=r"256.*7"):
        laid_out({**LLAMA, "num_attention_heads": 7, "num_key_value_heads": 7})
    with pytest.raises(ConfigError, match=r"8.*3"):
        laid_out({**LLAMA, "num_key_value_heads": 3})
    with pytest.raises(ConfigError, match=r"8.*16"):
        laid_out({**LLAMA, "num_key_value_heads": 16})
    # a head size that is given need not divide anything
    odd = {**LLAMA, "num_attention_heads": 7, "num_key_value_heads": 7, "head_dim": 24}
    assert laid_out(odd).layers[0].owns[0].fields[0].shape == (7, 24)


@pytest.mark.parametrize("value", [5, True, ["llama"], {"a": 1}])
def test_a_model_type_that_is_no_text(value: object) -> None:
    with pytest.raises(ConfigError, match="model_type is"):
        laid_out({**LLAMA, "model_type": value})


@pytest.mark.parametrize("field", ["multi_query", "use_sliding_window"])
def test_a_flag_that_is_no_flag(field: str) -> None:
    with pytest.raises(ConfigError, match=f'{field} is "yes"; it must be true or false'):
        laid_out({**LLAMA, "sliding_window": 16, field: "yes"})


@pytest.mark.parametrize("field", ["dtype", "torch_dtype", "mamba_ssm_dtype"])
def test_a_dtype_that_is_no_text(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} is 16; it must be text"):
        _ = parse_config({**LLAMA, field: 16}, name="x", source="x").state_dtype


@pytest.mark.parametrize("field", list(LLAMA)[1:4])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(ConfigError, match=f"has no .*{field}"):
        laid_out({k: v for k, v in LLAMA.items() if k != field})


# ---------------------------------------------------------------- unknown families


def test_a_family_nobody_claims_is_read_by_its_fields() -> None:
    model = lay_out(parse_config({**LLAMA, "model_type": "brand_new"}, name="x", source="x"))
    assert (model.inferred, model.architecture) == (True, "gqa")
    assert model.plugin == "general reader"
    assert model.layout == laid_out(LLAMA)


def test_a_family_nobody_claims_that_does_not_say_enough(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, {"model_type": "llama_9", "num_hidden_layers": 2}))
    assert "'llama_9' is claimed by no plugin" in message
    assert "num_attention_heads" in message, "what is missing"
    assert "deepseek_v3" not in message, "nor all that are known"
    assert "Did you mean llama" in message, "the nearest"
    assert "--arch" in message, "what to try next"


@pytest.mark.parametrize("document", [{}, {"text_config": {}}, {"model_type": None}, {"a": []}])
def test_a_config_that_says_nothing(document: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no model_type is given"):
        laid_out(document)


def test_a_model_type_of_megabytes_is_cut_short(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, {"model_type": "llama" * 500_000}))
    assert '"llamallama' in message


def test_the_model_type_decides_who_reads() -> None:
    # Mamba's class fills in what a config leaves out; a Llama of these fields says too little.
    sparse = {"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 64}
    assert laid_out(sparse).layers[0].owns[0].key == "mamba1"
    with pytest.raises(ConfigError):
        laid_out({**sparse, "model_type": "llama"})


# ---------------------------------------------------------------- nested language models


@pytest.mark.parametrize(
    "sections",
    [
        ["text_config"],
        ["language_config"],
        ["llm_config"],
        ["decoder"],
        ["thinker_config", "text_config"],
        ["text_config", "text_config", "llm_config"],
    ],
)
def test_a_language_model_inside(sections: list[str]) -> None:
    document: dict[str, Any] = dict(LLAMA)
    for section in reversed(sections):
        # the wrapper's own sizes, such as those of its vision tower, say nothing
        document = {"model_type": "wrapper", "hidden_size": 7, section: document}
    model = lay_out(parse_config(document, name="x", source="x"))
    assert model.config.model_type == "llama"
    assert model.layout == laid_out(LLAMA)


def test_a_wrapper_lends_its_model_type_and_dtype_where_the_inside_has_none() -> None:
    inside = {k: v for k, v in LLAMA.items() if k != "model_type"}
    outside = {"model_type": "gpt2", "torch_dtype": "float16", "text_config": inside}
    config = parse_config(outside, name="x", source="x")
    assert (config.model_type, config.dtype) == ("gpt2", "float16")
    own = parse_config(
        {**outside, "text_config": {**inside, "dtype": "bfloat16"}}, name="x", source="x"
    )
    assert own.dtype == "bfloat16", "the language model's own dtype comes first"


def test_an_encoder_decoder_cross_attends_wherever_it_says_so() -> None:
    """Its cross attention is kept too, which the section of its decoder may not say."""
    for document in (
        {**LLAMA, "is_encoder_decoder": True},
        {"is_encoder_decoder": True, "decoder": {**LLAMA, "is_encoder_decoder": False}},
        {"is_encoder_decoder": True, "text_config": {}, "decoder_config": LLAMA},
    ):
        keys = [cache.key for cache in laid_out(document).layers[0].owns]
        assert keys == ["attention", "cross_attention"]
    assert laid_out({**LLAMA, "is_encoder_decoder": False}) == laid_out(LLAMA)


@pytest.mark.parametrize(
    ("field", "size"),
    [
        ("head_dim", 24),
        ("attention_head_dim", 24),
        ("kv_channels", 24),
        ("d_kv", 24),
        ("dim_head", 24),
    ],
)
def test_spellings_of_the_head_size(field: str, size: int) -> None:
    assert laid_out({**LLAMA, field: size}).layers[0].owns[0].fields[0].shape == (2, size)


@pytest.mark.parametrize(
    "names",
    [
        ("num_hidden_layers", "num_attention_heads", "hidden_size", "num_key_value_heads"),
        ("n_layer", "n_head", "n_embd", "n_head_kv"),
        ("n_layers", "n_heads", "d_model", "num_kv_heads"),
        ("num_layers", "num_heads", "dim_model", "num_query_groups"),
        ("decoder_layers", "decoder_attention_heads", "emb_dim", "num_kv_heads"),
    ],
)
def test_one_meaning_in_many_spellings(names: tuple[str, ...]) -> None:
    document = dict(zip(names, (4, 8, 256, 2), strict=True))
    assert laid_out(document).layers == laid_out(LLAMA).layers


def test_a_decoders_own_spelling_comes_first() -> None:
    # num_hidden_layers of an encoder-decoder family counts the encoder's
    layout = laid_out({**LLAMA, "decoder_layers": 3, "decoder_attention_heads": 4})
    assert (len(layout.layers), layout.query_heads) == (3, 4)


# ---------------------------------------------------------------- anything at all

CONFIGS = [model.config for model in read_catalogue()] + [
    json.loads(file.read_bytes()) for file in sorted(SHARED_CONFIGS.glob("*.json"))
]
FIELDS = sorted(
    {name for config in CONFIGS for name in config}
    | {name for c in CONFIGS for v in c.values() if isinstance(v, dict) for name in v}
)
WORDS = ["full_attention", "mamba", "linear_attention", "conv", "recurrent", "sliding", "hybrid"]
ABSENT = object()
VALUES = st.one_of(
    st.just(ABSENT),
    st.none(),
    st.booleans(),
    st.integers(-2, 70),
    st.sampled_from([2**31 - 1, 2**31, MAX_LAYERS, MAX_LAYERS + 1, 10**4999, 1e30]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["auto", "M*-M", "float32"]),
    st.lists(st.sampled_from([*WORDS, "full", "shared", 0, 1, 2.5, None]), max_size=8),
    st.dictionaries(st.sampled_from(FIELDS), st.integers(-1, 9) | st.text(max_size=3), max_size=3),
)


@settings(max_examples=1500)
@given(
    config=st.sampled_from(CONFIGS),
    changes=st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), min_size=1, max_size=5),
    own_fields=st.lists(st.tuples(st.integers(0, 30), VALUES), max_size=4),
    inside=st.booleans(),
)
def test_a_mutated_config_is_laid_out_rightly_or_refused(
    config: dict[str, Any],
    changes: list[tuple[str, Any]],
    own_fields: list[tuple[int, Any]],
    inside: bool,
) -> None:
    document = copy.deepcopy(config)
    sections = [value for value in document.values() if isinstance(value, dict)]
    target = sections[0] if sections and inside else document
    names = list(target) or ["model_type"]
    for name, value in [*changes, *((names[i % len(names)], v) for i, v in own_fields)]:
        if value is ABSENT:
            target.pop(name, None)
        else:
            target[name] = value
    outcome = layout_or_refusal(document)
    if isinstance(outcome, UsageError):
        assert outcome.exit_code == 2
        assert 0 < len(str(outcome)) < 4000
    else:
        assert layout_problems(outcome) == []


def layout_or_refusal(document: dict[str, Any]) -> CacheLayout | UsageError:
    try:
        return laid_out(document)
    except UsageError as error:
        return error


def test_a_missing_field_is_named_by_its_meaning() -> None:
    config = parse_config({"num_hidden_layers": 2}, name="test", source="test")
    with pytest.raises(ConfigError) as caught:
        _ = config.heads
    said = "has no number of attention heads (num_attention_heads, n_head, ...; 9 spellings)"
    assert said in str(caught.value)
    with pytest.raises(ConfigError, match="has no window_size"):
        config.integer("window_size")
