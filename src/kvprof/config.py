"""A model's config.json in, a `ModelConfig` of checked, uniformly spelled fields out.

Configs are untrusted: size, depth and every number are bounded, and nothing in them is run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from kvprof.errors import ConfigError

MAX_CONFIG_BYTES = 8 * 2**20
MAX_DIMENSION = 2**31 - 1
MAX_LAYERS = 10_000
_MAX_DEPTH = 64

LANGUAGE_SECTIONS = ("thinker_config", "text_config", "language_config", "llm_config", "decoder")
"""Where multimodal configs keep their language model, searched recursively."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    "layers": (
        "decoder_layers",
        "num_decoder_layers",
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "num_layers",
        "layers",
    ),
    "heads": (
        "decoder_attention_heads",
        "decoder_num_attention_heads",
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
    ),
    "hidden": ("hidden_size", "d_model", "n_embd", "dim_model", "emb_dim"),
    "kv_heads": (
        "num_key_value_heads",
        "num_kv_heads",
        "n_head_kv",
        "num_query_groups",
        "attn_config.kv_n_heads",
    ),
    "head_dim": ("head_dim", "attention_head_dim", "kv_channels", "d_kv", "dim_head"),
    "window": ("sliding_window", "sliding_window_size", "attention_window_size"),
    "d_state": ("mamba_d_state", "ssm_state_size", "state_size"),
    "d_conv": ("mamba_d_conv", "conv_kernel", "linear_conv_kernel_dim", "conv_kernel_size"),
    "expand": ("mamba_expand", "expand"),
    "ssm_heads": ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads"),
    "ssm_head_dim": ("mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim"),
    "ssm_groups": ("mamba_n_groups", "n_groups", "mamba_ngroups"),
}
"""One meaning, the field names under which published configs spell it, first match wins."""

_STATE_DTYPES = ("mamba_ssm_dtype", "mamba_ssm_cache_dtype", "inference_state_dtype")


class ModelConfig(Struct, frozen=True):
    """The language model's part of a config.

    Attributes
    ----------
    name, source
        What the model is called in reports, and where the config came from.
    model_type
        The config's own word for its family.
    fields
        The raw fields; read them through the checked accessors.
    dtype
        The config's ``dtype`` or ``torch_dtype``, or None.
    """

    name: str
    source: str
    model_type: str | None
    fields: Mapping[str, Any]
    dtype: str | None = None

    def has(self, *names: str) -> bool:
        """Whether any of the fields, in any spelling, is there and not null."""
        return any(self.value(name) is not None for name in _spelled(names))

    def value(self, name: str) -> Any:
        """A raw field, None when absent; a dot reads a nested object."""
        found: Any = self.fields
        for part in name.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(part)
        return found

    def integer(self, *names: str, default: int | None = None, minimum: int = 1) -> int:
        """The first of the fields that is there, a whole number from ``minimum`` to 2**31 - 1.

        A name of `SPELLINGS` stands for all its spellings.

        Raises
        ------
        ConfigError
            When none is there and there is no default, or the value is no such number.
        """
        for name in _spelled(names):
            value = self.value(name)
            if value is not None:
                return self.whole_number(name, value, minimum)
        if default is None:
            wanted = " or ".join(dict.fromkeys(_spelled(names)))
            self.refuse(f"has no {wanted}", hint="The layout cannot be known without it.")
        return default

    def whole_number(self, name: str, value: Any, minimum: int = 1) -> int:
        """Check one number of the config; ``name`` says where it stood.

        Raises
        ------
        ConfigError
            When it is no whole number from ``minimum`` to 2**31 - 1.
        """
        whole = isinstance(value, int) and not isinstance(value, bool)
        if isinstance(value, float) and math.isfinite(value):
            whole = value == int(value)
        if not whole or not minimum <= value <= MAX_DIMENSION:
            self.refuse(
                f"{name} is {_shown(value)}; it must be a whole number from {minimum} to "
                f"{MAX_DIMENSION}"
            )
        return int(value)

    def scaled(self, name: str, of: int) -> int:
        """``of`` times a factor field, such as an expansion of 2 or 0.5, 1 when absent.

        Raises
        ------
        ConfigError
            When the factor is no positive number, or the product is no whole one.
        """
        factor = self.value(name)
        if factor is None:
            return of
        number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not number or not 0 < factor <= MAX_DIMENSION:
            self.refuse(f"{name} is {_shown(factor)}; it must be a number above 0")
        return self.whole_number(f"{name} x {of}", factor * of)

    def flag(self, name: str, *, default: bool) -> bool:
        """A true or false field. Raises ConfigError when it is neither."""
        value = self.value(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(f"{name} is {_shown(value)}; it must be true or false")
        return value

    def text(self, name: str) -> str | None:
        """A text field, None when absent. Raises ConfigError when it is no text."""
        value = self.value(name)
        if value is not None and not isinstance(value, str):
            self.refuse(f"{name} is {_shown(value)}; it must be text")
        return value

    def items(self, name: str) -> list[Any] | None:
        """A list field, None when absent. Raises ConfigError when it is no list."""
        value = self.value(name)
        if value is not None and not isinstance(value, list):
            self.refuse(f"{name} is {_shown(value)}; it must be a list")
        return value

    def with_defaults(self, defaults: Mapping[str, Any]) -> ModelConfig:
        """The same config with fields that its config class would fill in when they are absent."""
        return replace(self, fields={**defaults, **self.fields})

    def refuse(self, why: str, *, hint: str | None = None) -> NoReturn:
        """Raise the ConfigError that names this config."""
        raise ConfigError(f"{self.source}: {why}", hint=hint)

    @property
    def heads(self) -> int:
        return self.integer("heads")

    @property
    def hidden(self) -> int:
        return self.integer("hidden")

    @property
    def kv_heads(self) -> int:
        """KV heads: given, 1 for ``multi_query``, else one per query head; they must divide."""
        heads = self.heads
        if self.flag("multi_query", default=False) and not self.flag(
            "new_decoder_architecture", default=False
        ):
            return 1
        kv_heads = self.integer("kv_heads", default=heads)
        if heads % kv_heads:
            self.refuse(f"{heads} attention heads are not a multiple of {kv_heads} KV heads")
        return kv_heads

    @property
    def head_dim(self) -> int:
        """Elements of one head: given, else hidden size // heads, which must divide."""
        if self.has("head_dim"):
            return self.integer("head_dim")
        if self.hidden % self.heads:
            self.refuse(
                f"hidden size {self.hidden} is not a multiple of {self.heads} attention heads, "
                "and no head_dim is given"
            )
        return self.hidden // self.heads

    @property
    def layers(self) -> int:
        """Layers, at most `MAX_LAYERS`."""
        layers = self.integer("layers")
        if layers > MAX_LAYERS:
            self.refuse(f"{layers} layers are more than the {MAX_LAYERS} that are read")
        return layers

    @property
    def state_dtype(self) -> str | None:
        """The dtype that the config names for recurrent state."""
        return next((found for name in _STATE_DTYPES if (found := self.text(name))), None)


def read_config(path: str | Path) -> ModelConfig:
    """Read a Hugging Face config.json (a file, or the folder that holds it).

    Raises
    ------
    ConfigError
        When the file is missing, too large, not JSON, nested too deeply, or no model's config.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "config.json"
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_CONFIG_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot read the config {str(file)!r}: {reason}",
            hint="--config takes a config.json or the folder that holds it; "
            "--model takes a name of `kvprof list models`.",
        ) from None
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"{file}: larger than {MAX_CONFIG_BYTES} bytes, which no config.json is",
            hint="Is it the weights or their index? Give the model's config.json.",
        )
    named_after_folder = file.name == "config.json" and file.resolve().parent.name
    return parse_config(
        _parse_json(raw, str(file)), name=named_after_folder or file.stem, source=str(file)
    )


def parse_config(document: Any, *, name: str, source: str) -> ModelConfig:
    """A `ModelConfig` from a decoded config.json.

    Raises
    ------
    ConfigError
        When the document is no JSON object, or nests its language model without end.
    """
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: holds {_shown(document)} where a JSON object should be")
    sections = list(_language_sections(document, source))
    model_type = next((s["model_type"] for s in reversed(sections) if s.get("model_type")), None)
    if model_type is not None and not isinstance(model_type, str):
        raise ConfigError(f"{source}: model_type is {_shown(model_type)}; it must be text")
    fields = sections[-1]
    if any(section.get("is_encoder_decoder") is True for section in sections):
        # Said of the whole; its decoder then keeps cross attention that its section may not name.
        fields = {**fields, "is_encoder_decoder": True}
    config = ModelConfig(name, source, model_type, fields)
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
            (document[name] for name in LANGUAGE_SECTIONS if isinstance(document.get(name), dict)),
            None,
        )
        if inner is None:
            return
        document = inner
    raise ConfigError(f"{source}: its language model is nested more than {_MAX_DEPTH} levels deep")


def _parse_json(raw: bytes, source: str) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(
            f"{source}: not a text file", hint="Give the model's config.json, not its weights."
        ) from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply to be a config") from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{source}: not valid JSON: {error}", hint="Is the file complete?"
        ) from None
    except ValueError:  # Python reads integers of at most 4,300 digits
        raise ConfigError(f"{source}: holds a number of thousands of digits") from None


def _spelled(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(spelling for name in names for spelling in SPELLINGS.get(name, (name,)))


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
