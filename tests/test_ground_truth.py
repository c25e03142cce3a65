"""`--engine transformers` against what transformers really keeps, byte for byte, at every length.

Tiny models of each family were run with the library and every tensor of their caches counted.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kvprof.plugins.engines.transformers_families import FAMILIES

from kvprof.accounting import cache_groups, logical_bytes
from kvprof.config_file import parse_config
from kvprof.errors import ConfigError
from kvprof.hookspecs import Engine
from kvprof.model import Model, config_model, lay_out
from kvprof.registry import engine
from kvprof.size import Request, place, size_model

TRUTH = Path(__file__).resolve().parents[2] / "shared" / "data" / "groundtruth"
FOLDERS = sorted(file.parent.name for file in TRUTH.glob("*/measured.json"))
FULL_SIZE = [name for name in FOLDERS if (TRUTH / name / "full_size").is_dir()]

pytestmark = pytest.mark.skipif(not FOLDERS, reason="the shared data is not beside the project")

FIRST_LENGTHS_DIFFER = {"qwen4_exp_text": 1}
"""Lengths at the start of a curve, a prefill of 5 tokens, of which the library keeps less."""


@pytest.fixture(scope="module", name="transformers")
def transformers_engine() -> Engine:
    return engine("transformers")


def fields_of(folder: Path, file: str = "measured.json") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / file).read_bytes())
    return document


def reserved(folder: Path, transformers: Engine, tokens: int, encoder_tokens: int) -> int:
    request = Request(tokens=tokens, encoder_tokens=encoder_tokens)
    return size_model(config_model(str(folder)), transformers, request).bytes.reserved


def depends_on_the_path(model: Model) -> bool:
    family = FAMILIES.get(model.config.model_type or "")
    return family is not None and family.path is not None


@pytest.mark.parametrize("name", FOLDERS)
def test_tiny_models_at_every_length(name: str, transformers: Engine) -> None:
    folder = TRUTH / name
    truth = fields_of(folder)
    encoder = truth.get("cross_tokens") or 0
    lengths = truth["lengths"]
    assert [reserved(folder, transformers, t, encoder) for t in lengths] == truth["total_bytes"]


@pytest.mark.parametrize("name", FULL_SIZE)
def test_config_class_defaults_at_full_size(name: str, transformers: Engine) -> None:
    """At up to 16,448 tokens, where real windows cap."""
    folder = TRUTH / name / "full_size"
    truth = fields_of(folder)
    encoder = truth.get("cross_tokens") or 0
    lengths = truth["lengths"]
    assert [reserved(folder, transformers, t, encoder) for t in lengths] == truth["total_bytes"]


@pytest.mark.parametrize("name", FOLDERS)
def test_each_token_of_a_decode(name: str, transformers: Engine) -> None:
    """A prefill of 5 tokens, then one by one to 96: a window, a chunk or a group ends anywhere."""
    truth = fields_of(TRUTH / name)
    model = config_model(str(TRUTH / name))
    if depends_on_the_path(model):
        assert truth["path_dependent_at"], "listed, though its bytes are the length's alone"
        return
    assert not truth["path_dependent_at"], "not listed"
    if curve := truth.get("decode_curve"):
        groups = cache_groups(place(model, transformers, Request(tokens=8)).kept)
        encoder = truth.get("cross_tokens") or 0
        lengths = range(curve["from"], curve["to"] + 1)
        kept = [logical_bytes(groups, t, encoder) for t in lengths]
        first = FIRST_LENGTHS_DIFFER.get(name, 0)
        assert kept[first:] == curve["total_bytes"][first:]


@pytest.mark.parametrize("name", FOLDERS)
def test_reserved_is_logical_and_wastes(name: str, transformers: Engine) -> None:
    """Where the library keeps less than is needed, the convention is below zero."""
    request = Request(tokens=96, encoder_tokens=12, sequences=3)
    result = size_model(config_model(str(TRUTH / name)), transformers, request)
    assert result.bytes.reserved == result.bytes.logical + sum(result.waste.values())
    assert {waste for waste, size in result.waste.items() if size} <= {"convention"}


def read(folder: Path, without: str | None = None) -> Model:
    fields = fields_of(folder, "config.json")
    fields.pop(without or "", None)
    return lay_out(parse_config(fields, name=folder.name, source=str(folder)))


READ_BY_A_PLUGIN = [name for name in FULL_SIZE if not read(TRUTH / name / "full_size").inferred]


@pytest.mark.parametrize("name", READ_BY_A_PLUGIN)
def test_a_field_left_out_stands_for_its_default(name: str) -> None:
    """A full-size config holds its class's defaults: without one of them it says the same still.

    Or it is refused; but it is never read as another model. (The general reader, which no plugin
    stands behind, does not know defaults: that is what `inferred` warns of.)
    """
    folder = TRUTH / name / "full_size"
    whole = read(folder).layout
    for field in fields_of(folder, "config.json").keys() - {"model_type"}:
        with suppress(ConfigError):
            layout = read(folder, without=field).layout
            assert (layout.layers, layout.query_heads) == (whole.layers, whole.query_heads), field


PLAIN = [
    name
    for name in FOLDERS
    if set(fields_of(TRUTH / name)["cache_kinds"]) <= {"full_kv", "mqa", "mla", "cross_attention"}
    and read(TRUTH / name).config.model_type not in FAMILIES
]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_attention_needs_no_convention(name: str) -> None:
    folder = TRUTH / name
    truth = fields_of(folder)
    encoder = truth.get("cross_tokens") or 0
    lengths = truth["lengths"]
    logical = engine("logical")
    assert [reserved(folder, logical, t, encoder) for t in lengths] == truth["total_bytes"]


def test_most_families_need_no_row_of_their_own() -> None:
    """The table of exceptions is of families that the library treats apart, not a way to read."""
    apart = [n for n in FOLDERS if read(TRUTH / n).config.model_type in FAMILIES]
    assert len(apart) <= 10
    assert len(PLAIN) >= 90
