"""Layouts against what the real implementations keep, byte for byte, at every length.

Tiny models of each family were run with transformers and every tensor of their caches counted.
The library's conventions are applied here, by hand, to what our reader says is needed: a window
keeps one entry less between steps (also for chunks, which it treats as windows), a convolution one
column more, and recurrent states are in float32.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kvprof.accounting import cache_groups, logical_bytes
from kvprof.binding import Dtypes, bind
from kvprof.config_file import parse_config
from kvprof.errors import ConfigError
from kvprof.layout import Cache, CacheLayout, Chunk, Keep, Last
from kvprof.model import Model, config_model, lay_out

TRUTH = Path(__file__).resolve().parents[2] / "shared" / "data" / "groundtruth"
FOLDERS = sorted(file.parent.name for file in TRUTH.glob("*/measured.json"))
FULL_SIZE = [name for name in FOLDERS if (TRUTH / name / "full_size").is_dir()]

pytestmark = pytest.mark.skipif(not FOLDERS, reason="the shared data is not beside the project")

REFUSED = {
    # encoder-decoders: cross attention is not read
    *("blenderbot", "blt", "canary", "cohere_asr", "dia", "encoder-decoder", "mbart", "plbart"),
    *("prophetnet", "speech-encoder-decoder", "speech_to_text", "speecht5", "t5", "t5__asym"),
    *("t5gemma2", "vision-encoder-decoder", "whisper"),
    # layers that differ one by one, or of kinds that are not read
    *("axk2", "diffusion_gemma", "dots3_note_text", "gemma4_text", "gemma4_text__keqv"),
    *("gemma4_text__kvshared", "hy_v4", "inkling2", "inkling_text", "minimax_m3_vl"),
    *("qwen4_exp_text", "reformer"),
    # saved by the library in spellings that are not read
    *("kimi_linear", "kimi_linear__kda", "nemotron_h", "nemotron_h__pattern"),
    *("prophetnet__causal", "zamba"),
}
SOFT_PROMPT = {"cpmant"}
"""A learnt prompt comes before the first token, which the lengths do not count."""


def fields_of(folder: Path, file: str = "measured.json") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / file).read_bytes())
    return document


def kept_by_the_library(cache: Cache) -> Cache:
    fields = tuple(
        replace(
            field,
            dims=tuple((n, size + 1 if n == "conv_width" else size) for n, size in field.dims),
        )
        for field in cache.fields
    )
    keep: Keep = cache.keep
    if isinstance(keep, Last | Chunk):
        keep = Last(keep.n - 1)
    return replace(cache, fields=fields, keep=keep)


def convention(layout: CacheLayout) -> CacheLayout:
    layers = (
        replace(layer, owns=tuple(kept_by_the_library(cache) for cache in layer.owns))
        for layer in layout.layers
    )
    return replace(layout, layers=tuple(layers))


def check(folder: Path, name: str) -> None:
    """The bytes at every length that was measured, or a refusal where the family is not read."""
    if name in REFUSED:
        with pytest.raises(ConfigError):
            config_model(str(folder))
        return
    truth = fields_of(folder)
    more = fields_of(folder, "config.json")["prompt_length"] if name in SOFT_PROMPT else 0
    layout = convention(config_model(str(folder)).layout)
    groups = cache_groups(bind(layout, Dtypes(truth["dtype"], "float32", truth["dtype"])))
    assert [logical_bytes(groups, t + more) for t in truth["lengths"]] == truth["total_bytes"]
    if curve := truth.get("decode_curve"):
        lengths = range(curve["from"], curve["to"] + 1)
        assert [logical_bytes(groups, t + more) for t in lengths] == curve["total_bytes"]


@pytest.mark.parametrize("name", FOLDERS)
def test_tiny_models_at_every_length(name: str) -> None:
    check(TRUTH / name, name)


@pytest.mark.parametrize("name", FULL_SIZE)
def test_config_class_defaults_at_full_size(name: str) -> None:
    """At up to 16,448 tokens, where real windows cap."""
    check(TRUTH / name / "full_size", name)


def read(folder: Path, without: str | None = None) -> Model:
    fields = fields_of(folder, "config.json")
    fields.pop(without or "", None)
    return lay_out(parse_config(fields, name=folder.name, source=str(folder)))


READ_BY_A_PLUGIN = [
    name
    for name in FULL_SIZE
    if name not in REFUSED and not read(TRUTH / name / "full_size").inferred
]


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
            assert read(folder, without=field).layout == whole, field


PLAIN = [
    name
    for name in FOLDERS
    if set(fields_of(TRUTH / name)["cache_kinds"]) <= {"full_kv", "mqa", "mla"}
    and name not in REFUSED | SOFT_PROMPT
]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_attention_needs_no_convention(name: str) -> None:
    truth = fields_of(TRUTH / name)
    layout = config_model(str(TRUTH / name)).layout
    groups = cache_groups(bind(layout, Dtypes(truth["dtype"], truth["dtype"], truth["dtype"])))
    assert [logical_bytes(groups, t) for t in truth["lengths"]] == truth["total_bytes"]


def test_most_families_are_read() -> None:
    assert len(set(FOLDERS) - REFUSED) >= 110
    assert len(PLAIN) >= 70
