"""What a user names a model by in, its `ModelConfig` out.

A config.json, its folder, ``-`` for standard input, a GGUF file, a name of the catalogue, or a
Hugging Face id.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kvprof.config import ModelConfig
from kvprof.config_file import MAX_CONFIG_BYTES, decode_config, read_config
from kvprof.errors import ConfigError
from kvprof.registry import registry

STDIN = "-"
STDIN_SOURCE = "stdin"


def config_named(path: str) -> ModelConfig:
    """What ``--config`` names: a path, ``-``, or a Hugging Face id when no such path is there.

    Raises
    ------
    ConfigError
        When it cannot be read, or is no model's config.
    UsageError
        When the Hub has no such model.
    UnavailableError
        When a package that is needed is not installed, or the network cannot be reached.
    """
    if path == STDIN:
        return _from_stdin()
    beside = os.path.lexists(path) or os.path.isdir(path.partition("/")[0])
    if not beside and _may_be_of_the_hub(path):
        return _from_hub(path)
    return config_at(Path(path))


def model_named(name: str) -> ModelConfig:
    """What ``--model`` names: a catalogue model, a path that is there, or a Hugging Face id.

    Raises
    ------
    UsageError
        When there is no model of that name. Else as `config_named`.
    """
    if name.lower() not in registry().models:
        if os.sep in name and os.path.lexists(name):
            return config_at(Path(name))
        if _may_be_of_the_hub(name):
            return _from_hub(name)
    return registry().model(name).model_config()


def config_at(path: Path) -> ModelConfig:
    """A GGUF file, a config.json, or the folder that holds one."""
    from kvprof.gguf.header import is_gguf  # noqa: PLC0415

    if not is_gguf(path):
        return read_config(path)
    from kvprof.gguf.config import gguf_config  # noqa: PLC0415

    return gguf_config(path)


def _from_stdin() -> ModelConfig:
    raw = sys.stdin.buffer.read(MAX_CONFIG_BYTES + 1)
    if not raw:
        raise ConfigError("standard input is empty, where --config - reads a config.json")
    return decode_config(raw, name=STDIN_SOURCE, source=STDIN_SOURCE)


def _may_be_of_the_hub(text: str) -> bool:
    from kvprof.hub import is_hub_id  # noqa: PLC0415

    return is_hub_id(text) and not text.endswith((".json", ".gguf"))


def _from_hub(model_id: str) -> ModelConfig:
    from kvprof.hub import PREFIX, hub_file  # noqa: PLC0415

    file = hub_file(model_id, "config.json")
    if file is None:
        raise ConfigError(
            f"the model {model_id!r} has no config.json",
            hint="A repository of GGUF files has none: give one of those files.",
        )
    name = model_id.partition("@")[0].rpartition("/")[2]
    return decode_config(file.read_bytes(), name=name, source=f"{PREFIX}{model_id}")
