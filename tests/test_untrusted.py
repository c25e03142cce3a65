"""Configs and GGUF files with anything in them: an answer or a ConfigError, and nothing else.

What the fuzzers of `tests/fuzz` look for at length, in short and without them.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof.catalogue import read_catalogue
from kvprof.config import ModelConfig
from kvprof.config_file import LANGUAGE_SECTIONS, decode_config
from kvprof.errors import ConfigError, PluginError, UsageError
from kvprof.gguf.config import gguf_config
from kvprof.layer_words import KIND_WORDS
from kvprof.model import lay_out
from kvprof.registry import registry
from kvprof.size import Request, size_model
from kvprof.spellings import SPELLINGS

CONFIGS = [model.config for model in read_catalogue()]
FIELDS = sorted(
    {name for names in SPELLINGS.values() for name in names}
    | {name for config in CONFIGS for name in config}
    | {*LANGUAGE_SECTIONS, "is_encoder_decoder", "torch_dtype"}
)
SCALARS = (
    st.sampled_from([0, 1, 2, 64, 10_001, 2**31 - 1, 2**31, 10**400, *sorted(KIND_WORDS)])
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)
    ),
    max_leaves=8,
)
ENGINES = [offered.what for offered in registry().engines.values()]


def answered(config: ModelConfig) -> None:
    """Size it everywhere: the built-in plugins are ours, so that they fail is no answer."""
    try:
        model = lay_out(config)
        for engine in ENGINES:
            size_model(model, engine, Request(tokens=4097, memory_bytes=2**30))
    except PluginError:
        raise
    except UsageError as refused:
        assert len(str(refused)) < 4_000  # noqa: PT017 - an error is one of two right answers


@given(
    config=st.sampled_from(CONFIGS),
    changes=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4),
    missing=st.sets(st.sampled_from(FIELDS), max_size=3),
)
def test_fields_of_any_kind(
    config: dict[str, Any], changes: dict[str, Any], missing: set[str]
) -> None:
    document = {name: value for name, value in (config | changes).items() if name not in missing}
    raw = json.dumps(document).encode()
    try:
        read = decode_config(raw, name="untrusted", source="untrusted")
    except ConfigError:
        return
    answered(read)


@given(raw=st.binary(max_size=200))
def test_bytes_of_any_kind(raw: bytes) -> None:
    try:
        read = decode_config(raw, name="untrusted", source="untrusted")
    except ConfigError:
        return
    answered(read)


GGUF = runpy.run_path(str(Path(__file__).with_name("gguf_files") / "models.py"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("gguf")
    return [
        GGUF["write_gguf"](folder / name, *model, vocabulary=1).read_bytes()
        for name, model in GGUF["MODELS"].items()
    ]


@given(data=st.data())
def test_gguf_files_of_which_bytes_were_changed(files, tmp_path_factory, data) -> None:
    content = bytearray(data.draw(st.sampled_from(files)))
    positions = st.integers(0, len(content) - 1)
    for at, byte in data.draw(st.dictionaries(positions, st.integers(0, 255), max_size=6)).items():
        content[at] = byte
    end = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    path.write_bytes(content[:end] if data.draw(st.booleans()) else content)
    try:
        config = gguf_config(path)
    except ConfigError as refused:
        assert len(str(refused)) < 1_000  # noqa: PT017
        return
    answered(config)
