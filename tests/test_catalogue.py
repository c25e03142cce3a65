"""The catalogue against published figures and against the real configs."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from kvprof.accounting import (
    cache_groups,
    entry_bytes,
    fixed_bytes,
    growing_per_token,
    per_token,
    window_bytes,
)
from kvprof.binding import Dtypes, bind
from kvprof.catalogue import CatalogueModel, read_catalogue
from kvprof.conformance import layout_problems
from kvprof.errors import ConfigError
from kvprof.model import Model, config_model, lay_out
from kvprof.registry import registry

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

NOT_READ_YET = {"DeepSeek-V4-Flash (284B)", "DeepSeek-V4-Pro (1.6T)"}
"""Compressed attention: refused, so not in the catalogue."""

WINDOWED = {"StarCoder2-3B": (30.0, 0.0, 0.0, 30 * 4096 / 1024, 0.0, 0.0)}
"""Its published config has sliding_window 4096, which the figures leave out (30 KiB a token)."""


def figures(model: Model) -> tuple[float, ...]:
    """The CSV's columns of a model: in bfloat16, the last with a recurrent state in float32."""
    groups = cache_groups(bind(model.layout, Dtypes("bfloat16", "bfloat16", "bfloat16")))
    indexers = [group for group in groups if group.cache.key == "indexer"]
    kept = [group for group in groups if group.cache.key != "indexer"]
    float32 = cache_groups(bind(model.layout, Dtypes("bfloat16", "float32", "bfloat16")))
    return (
        float(per_token(kept)) / 1024,
        float(growing_per_token(kept)) / 1024,
        float(per_token(indexers)) / 1024,
        window_bytes(groups) / 2**20,
        fixed_bytes(groups) / 2**20,
        fixed_bytes(float32) / 2**20,
    )


def rows() -> dict[str, dict[str, str]]:
    if not DATA.is_dir():
        return {}
    with (DATA / "architectures.csv").open(encoding="utf-8", newline="") as stream:
        return {row["model"]: row for row in csv.DictReader(stream)}


ROWS = rows()


def published(row: dict[str, str]) -> tuple[float, ...]:
    return tuple(float(row[column] or 0) for column in COLUMNS)


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


DIFFER = {
    # the gallery counts 4 KV heads of 192 in all 48 layers; it is 8 with V of 128 in 39 of them
    "mimo-v2-flash": (144, 217.5),
    # the gallery counts 3 layers for multi-token prediction too
    "step-3.5-flash": (192, 180),
    # the gallery leaves out indexers: 61 * 256 B and 78 * 256 B
    "deepseek-v3.2": (68.6, 68.625 + 15.25),
    "glm-5": (87.8, 87.75 + 19.5),
}


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if m.published_kib_per_token])
def test_published_kib_per_token(name: str) -> None:
    groups = cache_groups(bind(LAID_OUT[name].layout, Dtypes("bfloat16", "bfloat16", "bfloat16")))
    ours = float(per_token(groups)) / 1024
    gallery = MODELS[name].published_kib_per_token
    if name in DIFFER:
        assert (gallery, ours) == DIFFER[name]
    else:
        assert ours == pytest.approx(gallery, abs=0.05), "it prints one decimal"


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
@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_the_public_figures(name: str) -> None:
    model = MODELS[name]
    assert model.title in ROWS, "a title is the row it is checked against"
    row = ROWS[model.title]
    expected = WINDOWED.get(model.title, published(row))
    assert figures(LAID_OUT[name]) == pytest.approx(expected, abs=ROUNDED)
    assert model.confidence == row["confidence"]
    assert model.max_context == (int(row["max_context"]) or None)
    assert model.published_kib_per_token == (
        float(row["gallery_KiB"]) if row["gallery_KiB"] else None
    )


@needs_data
def test_every_row_read_in_a_config_or_in_code_is_in_the_catalogue() -> None:
    confident = {title for title, row in ROWS.items() if row["confidence"] == "A"}
    assert confident - {model.title for model in MODELS.values()} == NOT_READ_YET


# ---------------------------------------------------------------- real configs

SAME_AS = {
    "Qwen--Qwen3-32B-FP8": "Qwen--Qwen3-32B",
    "nvidia--DeepSeek-V3.1-NVFP4": "deepseek-ai--DeepSeek-V3",
    "nvidia--Qwen3-235B-A22B-NVFP4": "Qwen--Qwen3-235B-A22B",
}
"""Quantised checkpoints: of the weights, which says nothing about the cache."""

REFUSED = {
    "deepseek-ai--DeepSeek-V4-Flash": "compress_ratios",
}
BY_HAND = {
    # 36 layers * K and V * 8 heads * 128 * 2 B, in the language model of a vision model
    "Qwen--Qwen3-VL-4B-Instruct": 36 * 2 * 8 * 128 * 2 / 1024,
}
CONFIGS = {file.stem: file for file in sorted((DATA / "configs").glob("*.json"))}


@needs_data
@pytest.mark.parametrize("name", CONFIGS)
def test_a_real_config_gives_its_figures_or_is_refused(name: str) -> None:
    if name in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[name]):
            config_model(str(CONFIGS[name]))
        return
    model = config_model(str(CONFIGS[name]))
    assert not model.inferred
    if name in BY_HAND:
        assert figures(model) == (BY_HAND[name], BY_HAND[name], 0, 0, 0, 0)
        return
    source = f"model_configs/{SAME_AS.get(name, name)}_config.json"
    (row,) = [row for row in ROWS.values() if source in row["source"]]
    assert figures(model) == pytest.approx(published(row), abs=ROUNDED)


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
        assert name in REFUSED or name in BY_HAND
        return
    ours, theirs = LAID_OUT[twins[0].name].layout, config_model(str(CONFIGS[name])).layout
    assert (ours.layers, ours.query_heads) == (theirs.layers, theirs.query_heads)
