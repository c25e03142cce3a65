"""The catalogue against published figures and against the real configs."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from kvprof.accounting import (
    CacheGroup,
    cache_groups,
    entry_bytes,
    fixed_bytes,
    growing_per_token,
    logical_bytes,
    per_token,
    window_bytes,
)
from kvprof.binding import Dtypes, bind
from kvprof.catalogue import CatalogueModel, read_catalogue
from kvprof.conformance import layout_problems
from kvprof.document import Document
from kvprof.listing import model_rows
from kvprof.model import Model, config_model, lay_out
from kvprof.registry import registry
from kvprof.reports import render

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared data is not beside the project"
)

MODELS = {model.name: model for model in read_catalogue()}
LAID_OUT = {name: lay_out(model.model_config()) for name, model in MODELS.items()}

# Columns of architectures.csv, in KiB and MiB, and how far its decimals are rounded.
COLUMNS = (
    "kv_KiB_per_token_all_layers",
    "kv_KiB_per_token_unbounded",
    "indexer_KiB_per_token_bf16",
    "window_cap_MiB",
    "state_MiB_bf16",
    "state_MiB_conv_bf16_rec_fp32",
)
ROUNDED = 0.00005 + 1e-9
TOTALS = {8192: "total_MiB_at_8k", 131072: "total_MiB_at_128k"}
TOTALS_ROUNDED = 0.005 + 1e-9

NOT_AS_IN_THE_ROW = {
    # Its published config has sliding_window 4096, which the row leaves out (30 KiB a token).
    "StarCoder2-3B": ((30.0, 0.0, 0.0, 30 * 4096 / 1024, 0.0, 0.0), (120.0, 120.0)),
    # Its 8 cross-attention layers keep what the encoder made: nothing for a token of text, where
    # the row counts 8 * 2 * 8 * 128 * 2 B = 32 KiB more.
    "Llama 3.2 11B Vision (mllama)": ((128.0, 128.0, 0.0, 0.0, 0.0, 0.0), (1024.0, 16384.0)),
}
"""Where the public figures are wrong: what follows from the config, and why."""

NOT_IN_THE_FIGURES = {
    # KiB per token, MiB of state in bfloat16, and with a recurrent state in float32
    "t5-small": (6 * 2 * 8 * 64 * 2 / 1024, 0, 0),  # 6 layers, K and V, 8 heads of 64
    "bart-large": (12 * 2 * 16 * 64 * 2 / 1024, 0, 0),  # 1024 / 16 heads = 64
    "whisper-tiny": (4 * 2 * 6 * 64 * 2 / 1024, 0, 0),  # 384 / 6 heads = 64
    # 32 layers: 2 inputs and 3 vectors of 4096
    "rwkv-4-7b": (0, 32 * 5 * 4096 * 2 / 2**20, 32 * (2 * 2 + 3 * 4) * 4096 / 2**20),
    "llama-nemotron-super-49b": (49 * 2 * 8 * 128 * 2 / 1024, 0, 0),  # 31 layers have none
    "qwen3-vl-4b": (36 * 2 * 8 * 128 * 2 / 1024, 0, 0),
}


def figures(model: Model) -> tuple[float, ...]:
    """The CSV's columns of a model: in bfloat16, the last with a recurrent state in float32."""
    groups = compared(model)
    indexers = [group for group in groups if group.cache.key == "indexer"]
    kept = [group for group in groups if group.cache.key != "indexer"]
    float32 = cache_groups(bind(model.layout, Dtypes("bfloat16", "float32", "bfloat16")))
    # Of compressed attention the column counts the compressed entries, and not the windows.
    compressed = any(group.cache.key == "compressed_latent" for group in groups)
    return (
        float(growing_per_token(kept) if compressed else per_token(kept)) / 1024,
        float(growing_per_token(kept)) / 1024,
        float(per_token(indexers)) / 1024,
        window_bytes(groups) / 2**20,
        fixed_bytes(groups) / 2**20,
        fixed_bytes(float32) / 2**20,
    )


def compared(model: Model) -> list[CacheGroup]:
    """What the CSV counts: all but what a compressor holds back until its group is whole."""
    groups = cache_groups(bind(model.layout, Dtypes("bfloat16", "bfloat16", "bfloat16")))
    return [group for group in groups if not group.cache.key.endswith(("_tail", "_overlap"))]


def totals(model: Model) -> tuple[float, ...]:
    """MiB of one sequence, at the lengths of `TOTALS`."""
    return tuple(logical_bytes(compared(model), tokens) / 2**20 for tokens in TOTALS)


def rows() -> dict[str, dict[str, str]]:
    if not DATA.is_dir():
        return {}
    with (DATA / "architectures.csv").open(encoding="utf-8", newline="") as stream:
        return {row["model"]: row for row in csv.DictReader(stream)}


ROWS = rows()


def published(row: dict[str, str]) -> tuple[float, ...]:
    return tuple(float(row[column] or 0) for column in COLUMNS)


def published_totals(row: dict[str, str]) -> tuple[float, ...]:
    return tuple(float(row[column]) for column in TOTALS.values())


# ---------------------------------------------------------------- the rows themselves


def test_names_and_aliases_are_unique_and_lower_case() -> None:
    names = Counter(name for model in MODELS.values() for name in (model.name, *model.aliases))
    assert [name for name, count in names.items() if count > 1] == []
    assert all(name == name.lower() and " " not in name for name in names)


def test_models_stand_in_the_order_of_the_fields_history() -> None:
    dates = [model.date for model in MODELS.values()]
    assert dates == sorted(dates)
    assert dates[0] == "2019-02"


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_read_by_a_plugin(name: str) -> None:
    model = LAID_OUT[name]
    assert not model.inferred, f"no plugin claims {model.config.model_type}"
    assert "general reader" not in model.plugin
    assert layout_problems(model.layout) == []
    row = MODELS[name]
    assert row.confidence in {"A", "B", "C"}
    assert row.source


def test_a_model_is_found_by_its_alias_in_any_case() -> None:
    assert registry().model("GPT2-1.5B") is registry().model("gpt2-xl")


DISAGREE = {
    # the gallery counts 4 KV heads of 192 in all 48 layers; it is 8 with V of 128 in 39 of them
    "mimo-v2-flash": (144, 217.5),
    # the gallery counts 3 layers for multi-token prediction too
    "step-3.5-flash": (192, 180),
    # the gallery counts all layers, but the last 20 and 18 read what others keep
    "gemma-4-e2b": (35, 18),
    "gemma-4-e4b": (84, 56),
}
"""The figures of the public gallery that are not what is kept."""


def test_where_published_figures_and_ours_differ() -> None:
    rows = [row for row in model_rows() if row.published_kib_per_token is not None]
    assert len(rows) >= 40
    assert all(row.published_agrees is not None for row in rows)
    differing = {
        row.name: (row.published_kib_per_token, row.comparable_kib_per_token)
        for row in rows
        if not row.published_agrees
    }
    assert differing == DISAGREE
    assert all(MODELS[name].note for name in DISAGREE), "the listing says why"


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        ("deepseek-v3.2", 61 * 576 * 2 / 1024),  # without its indexers: 61 * 256 B more
        # 21 layers keep an entry of 512 for 4 tokens, 20 one for 128: no windows, no tails
        ("deepseek-v4-flash", (21 / 4 + 20 / 128) * 512 * 2 / 1024),
        ("deepseek-v4-pro", (30 / 4 + 31 / 128) * 512 * 2 / 1024),
    ],
)
def test_what_is_compared_with_a_published_figure(name: str, kib: float) -> None:
    (row,) = [row for row in model_rows() if row.name == name]
    assert (row.comparable_kib_per_token, row.published_agrees) == (kib, True)


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        # layers * K and V * KV heads * head size * 2 B / 1024
        ("opt-13b", 40 * 2 * 40 * 128 * 2 / 1024),  # 800: "800 KB" in the PagedAttention paper
        ("falcon-7b", 32 * 2 * 1 * 64 * 2 / 1024),  # 8: one KV head, not 71
        ("qwen3-0.6b", 28 * 2 * 8 * 128 * 2 / 1024),  # 112: head_dim is not hidden / heads = 64
        ("llama-3.1-405b", 126 * 2 * 8 * 128 * 2 / 1024),  # 504
        ("longcat-flash", 28 * 2 * 576 * 2 / 1024),  # 63: two MLA sublayers a layer
        ("gemma-4-26b", (5 * 2 * 512 + 25 * 2 * 8 * 256) * 2 / 1024),  # 210: K = V stored once
        ("mimo-v2-flash", (9 * 4 + 39 * 8) * (192 + 128) * 2 / 1024),  # 217.5
        ("zamba2-2.7b", 9 * 2 * 32 * 160 * 2 / 1024),  # 180: each call of the shared block
    ],
)
def test_kib_per_token_by_hand(name: str, kib: float) -> None:
    assert figures(LAID_OUT[name])[0] == kib


# ---------------------------------------------------------------- against the public figures


@needs_data
@pytest.mark.parametrize("name", [name for name in MODELS if name not in NOT_IN_THE_FIGURES])
def test_agrees_with_the_public_figures(name: str) -> None:
    model = MODELS[name]
    assert model.title in ROWS, "a title is the row it is checked against"
    row = ROWS[model.title]
    of_row = published(row), published_totals(row)
    expected, expected_totals = NOT_AS_IN_THE_ROW.get(model.title, of_row)
    assert figures(LAID_OUT[name]) == pytest.approx(expected, abs=ROUNDED)
    assert totals(LAID_OUT[name]) == pytest.approx(expected_totals, abs=TOTALS_ROUNDED)
    assert model.confidence <= row["confidence"], "A is the best: read in a config or code"
    assert model.max_context == (int(row["max_context"]) or None)
    assert model.published_kib_per_token == (
        float(row["gallery_KiB"]) if row["gallery_KiB"] else None
    )


@pytest.mark.parametrize("name", NOT_IN_THE_FIGURES)
def test_models_that_the_public_figures_lack(name: str) -> None:
    kib, state_mib, state_mib_float32 = NOT_IN_THE_FIGURES[name]
    assert figures(LAID_OUT[name]) == (kib, kib, 0, 0, state_mib, state_mib_float32)


@needs_data
def test_every_row_read_in_a_config_or_in_code_is_in_the_catalogue() -> None:
    confident = {title for title, row in ROWS.items() if row["confidence"] == "A"}
    assert confident - {model.title for model in MODELS.values()} == set()


@needs_data
def test_the_rows_of_the_gallery_that_no_config_backs() -> None:
    """Layer mixes and sizes that were only told, or made to fit the figure: not shipped."""
    of_gallery = {title for title, row in ROWS.items() if row["gallery_KiB"]}
    assert of_gallery - {model.title for model in MODELS.values()} == {
        "Command A+ (218B-A25B)",
        "Granite 4.1 30B",
        "Grok 2.5 (270B)",
        "Ling 2.5 / 2.6 (1T)",
        "Mistral Large 3 (673B)",
        "Nemotron 3 Nano 4B",
        "OLMo 3 32B",
    }


# ---------------------------------------------------------------- real configs

SAME_AS = {
    "Qwen--Qwen3-32B-FP8": "Qwen--Qwen3-32B",
    "nvidia--DeepSeek-V3.1-NVFP4": "deepseek-ai--DeepSeek-V3",
    "nvidia--Qwen3-235B-A22B-NVFP4": "Qwen--Qwen3-235B-A22B",
}
"""Quantised checkpoints: of the weights, which says nothing about the cache."""

BY_HAND = {
    # 36 layers * K and V * 8 heads * 128 * 2 B, in the language model of a vision model
    "Qwen--Qwen3-VL-4B-Instruct": 36 * 2 * 8 * 128 * 2 / 1024,
    # 49 of its 80 layers attend, each with 64 / 8 KV heads
    "nvidia--Llama-3_3-Nemotron-Super-49B-v1": 49 * 2 * 8 * 128 * 2 / 1024,
}
CONFIGS = {file.stem: file for file in sorted((DATA / "configs").glob("*.json"))}


@needs_data
@pytest.mark.parametrize("name", CONFIGS)
def test_a_real_config_gives_its_figures(name: str) -> None:
    model = config_model(str(CONFIGS[name]))
    assert not model.inferred
    if name in BY_HAND:
        assert figures(model) == (BY_HAND[name], BY_HAND[name], 0, 0, 0, 0)
        return
    source = f"model_configs/{SAME_AS.get(name, name)}_config.json"
    (row,) = [row for row in ROWS.values() if source in row["source"]]
    assert figures(model) == pytest.approx(published(row), abs=ROUNDED)
    assert totals(model) == pytest.approx(published_totals(row), abs=TOTALS_ROUNDED)


SHORT = {
    "extra--Falcon-H1-7B": "Falcon-H1 7B",
    "extra--Jamba-v0.1": "Jamba v0.1 / 1.5 Mini (52B)",
    "extra--LFM2-1.2B": "LFM2-1.2B",
    "extra--Zamba2-2.7B": "Zamba2-2.7B",
}
"""Configs that leave to their class what it fills in: Jamba's says its model type alone."""


@needs_data
@pytest.mark.parametrize("name", SHORT)
def test_a_config_that_leaves_its_defaults_out_gives_its_figures(name: str) -> None:
    model = config_model(str(DATA / "vllm" / "configs" / f"{name}.json"))
    row = ROWS[SHORT[name]]
    assert not model.inferred
    assert figures(model) == pytest.approx(published(row), abs=ROUNDED)
    assert totals(model) == pytest.approx(published_totals(row), abs=TOTALS_ROUNDED)


@needs_data
def test_gemma_4_26b_layer_by_layer() -> None:
    # 25 windowed layers of K and V, 8 heads of 256; every 6th keeps one K = V of 2 heads of 512.
    model = config_model(str(CONFIGS["google--gemma-4-26B-A4B"]))
    windowed, full = cache_groups(bind(model.layout, Dtypes("bfloat16", "bfloat16", "bfloat16")))
    assert (len(windowed.layers), str(windowed.cache.keep)) == (25, "Last(1024)")
    assert entry_bytes(windowed.cache) == 2 * 8 * 256 * 2
    assert (full.layers, str(full.cache.keep)) == ((5, 11, 17, 23, 29), "All")
    assert [(field.name, field.shape) for field in full.cache.fields] == [("kv", (2, 512))]


@needs_data
@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_and_its_catalogue_row_are_laid_out_alike(name: str) -> None:
    """A row holds only some of the fields: none that decides may be missing."""
    source = f"model_configs/{SAME_AS.get(name, name)}_config.json"
    titles = {title for title, row in ROWS.items() if source in row["source"]}
    twins: list[CatalogueModel] = [m for m in MODELS.values() if m.title in titles]
    if not twins:
        assert name in BY_HAND
        return
    assert LAID_OUT[twins[0].name].layout == config_model(str(CONFIGS[name])).layout


def test_rows_say_which_fields_decide() -> None:
    rows = {row.name: row for row in model_rows()}
    assert rows["llama-3-8b"].config["num_key_value_heads"] == 8
    document = Document("models", tuple(rows.values()), ())
    header = render(document, "csv").splitlines()[0]
    assert "organisation" in header
    assert "config" not in header
