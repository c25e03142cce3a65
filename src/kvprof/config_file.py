"""A model's config.json in, the `ModelConfig` of its language model out.

Files are untrusted: their size and depth are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from kvprof.config import ModelConfig, shown
from kvprof.errors import ConfigError

MAX_CONFIG_BYTES = 8 * 2**20
_MAX_DEPTH = 64
_MAX_NAME = 256

LANGUAGE_SECTIONS = (
    "thinker_config",
    "text_config",
    "language_config",
    "llm_config",
    "decoder",
    "decoder_config",
)
"""Where configs of several models keep the one that decodes, searched recursively."""


def read_config(path: str | Path) -> ModelConfig:
    """Read a Hugging Face config.json (a file, or the folder that holds it).

    Raises
    ------
    ConfigError
        When the file is missing, too large, not JSON, nested too deeply, or no model's config.
    """
    document, name, source = read_document(path)
    return parse_config(document, name=name, source=source)


def read_document(path: str | Path) -> tuple[Any, str, str]:
    """A decoded config.json, what its model is called and where it was found.

    Raises
    ------
    ConfigError
        When the file is missing, too large, not JSON or nested too deeply.
    """
    file = Path(path)
    try:
        if file.is_dir():
            file = file / "config.json"
        with file.open("rb") as stream:
            raw = stream.read(MAX_CONFIG_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot read the config {str(file)!r}: {reason}",
            hint="--config takes a config.json, its folder, - or a Hugging Face id, and except in "
            "`kvprof check` a GGUF file; --model takes a name of `kvprof list models`.",
        ) from None
    named_after_folder = file.name == "config.json" and file.resolve().parent.name
    return decode_document(raw, str(file)), named_after_folder or file.stem, str(file)


def decode_config(raw: bytes, *, name: str, source: str) -> ModelConfig:
    """A `ModelConfig` from the bytes of a config.json. Raises as `read_config` does."""
    return parse_config(decode_document(raw, source), name=name, source=source)


def decode_document(raw: bytes, source: str) -> Any:
    """A config.json decoded.

    Raises
    ------
    ConfigError
        When its bytes are too many, not JSON or nested too deeply.
    """
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"{source}: larger than {MAX_CONFIG_BYTES} bytes, which no config.json is",
            hint="Is it the weights or their index? Give the model's config.json.",
        )
    return _parse_json(raw, source)


def parse_config(document: Any, *, name: str, source: str) -> ModelConfig:
    """A `ModelConfig` from a decoded config.json.

    Raises
    ------
    ConfigError
        When the document is no JSON object, or nests its language model without end.
    """
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: holds {shown(document)} where a JSON object should be")
    sections = list(_language_sections(document, source))
    model_type = next((s["model_type"] for s in reversed(sections) if s.get("model_type")), None)
    if model_type is not None and not isinstance(model_type, str):
        raise ConfigError(f"{source}: model_type is {shown(model_type)}; it must be text")
    if model_type is not None and len(model_type) > _MAX_NAME:
        raise ConfigError(
            f"{source}: model_type is {shown(model_type)}, {len(model_type)} letters long; it must "
            f"have at most {_MAX_NAME}"
        )
    fields = sections[-1]
    if any(section.get("is_encoder_decoder") is True for section in sections):
        # Said of the whole; its decoder then keeps cross attention that its section may not name.
        fields = {**fields, "is_encoder_decoder": True}
    quantised = next((q for s in sections if (q := s.get("quantization_config"))), None)
    if quantised is not None:
        # Said of the checkpoint, on the outside; it may ask for a cache dtype.
        fields = {**fields, "quantization_config": quantised}
    config = ModelConfig(name, source, model_type, fields, outer=document)
    dtypes = (
        ModelConfig(name, source, model_type, section).text(field)
        for section in reversed(sections)
        for field in ("dtype", "torch_dtype")
    )
    return replace(config, dtype=next((dtype for dtype in dtypes if dtype), None))


def _language_sections(document: dict[str, Any], source: str) -> Iterator[dict[str, Any]]:
    """The config and, inside it, the language model's section, outermost first."""
    for _ in range(_MAX_DEPTH):
        yield document
        inner = next(
            (
                document[name]
                for name in LANGUAGE_SECTIONS
                if isinstance(document.get(name), dict) and document[name]
            ),
            None,
        )
        if inner is None:
            return
        document = inner
    raise ConfigError(f"{source}: its language model is nested more than {_MAX_DEPTH} levels deep")


def _parse_json(raw: bytes, source: str) -> Any:
    try:
        document = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(
            f"{source}: not a text file", hint="Give the model's config.json, not its weights."
        ) from None
    except RecursionError:
        raise _too_deep(source) from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{source}: not valid JSON: {error}", hint="Is the file complete?"
        ) from None
    except ValueError:  # Python reads integers of at most 4,300 digits
        raise ConfigError(f"{source}: holds a number of thousands of digits") from None
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH and _depth(document) > _MAX_DEPTH:
        raise _too_deep(source)
    return document


def _depth(document: Any) -> int:
    """Lists and objects inside each other; level by level, so that no depth ends the stack."""
    depth, level = 0, [document]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > _MAX_DEPTH:
            break
        level = [
            item
            for within in level
            for item in (within.values() if isinstance(within, dict) else within)
        ]
    return depth


def _too_deep(source: str) -> ConfigError:
    return ConfigError(f"{source}: nested too deeply to be a config: more than {_MAX_DEPTH} levels")
