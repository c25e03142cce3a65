"""Raw fields of a config in, checked and uniformly spelled ones out.

Configs are untrusted: every number is bounded, and nothing in them is run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from kvprof.errors import ConfigError
from kvprof.field_reads import FieldReads
from kvprof.spellings import described, other_spellings, spelled

MAX_DIMENSION = 2**31 - 1
MAX_LAYERS = 10_000

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
    outer
        The whole document, of which ``fields`` may be a section.
    defaults
        The fields that the config left to its class.
    reads
        Where every field that is asked for and there is noted, when somebody wants to know.
    """

    name: str
    source: str
    model_type: str | None
    fields: Mapping[str, Any]
    dtype: str | None = None
    outer: Mapping[str, Any] = {}
    defaults: frozenset[str] = frozenset()
    reads: FieldReads | None = None

    def has(self, *names: str) -> bool:
        """Whether any of the fields, in any spelling, is there and not null."""
        return any(self.value(name) is not None for name in spelled(names))

    def value(self, name: str) -> Any:
        """A raw field, None when absent; a dot reads a nested object."""
        found: Any = self.fields
        for part in name.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(part)
        if self.reads is not None and found is not None:
            self.reads.note(name, found, default=name.split(".", maxsplit=1)[0] in self.defaults)
        return found

    def integer(self, *names: str, default: int | None = None, minimum: int = 1) -> int:
        """The first of the fields that is there, a whole number from ``minimum`` to 2**31 - 1.

        A name of `kvprof.spellings.SPELLINGS` stands for all its spellings.

        Raises
        ------
        ConfigError
            When none is there and there is no default, or the value is no such number.
        """
        for name in spelled(names):
            value = self.value(name)
            if value is not None:
                return self.whole_number(name, value, minimum)
        if default is None:
            self.refuse(f"has no {described(names)}", hint="The layout cannot be known without it.")
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
                f"{name} is {shown(value)}; it must be a whole number from {minimum} to "
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
            self.refuse(
                f"{name} is {shown(factor)}; it must be above 0 and at most {MAX_DIMENSION}"
            )
        return self.whole_number(f"{name} x {of}", factor * of)

    def flag(self, name: str, *, default: bool) -> bool:
        """A true or false field. Raises ConfigError when it is neither."""
        value = self.value(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(f"{name} is {shown(value)}; it must be true or false")
        return value

    def text(self, name: str) -> str | None:
        """A text field, None when absent. Raises ConfigError when it is no text."""
        value = self.value(name)
        if value is not None and not isinstance(value, str):
            self.refuse(f"{name} is {shown(value)}; it must be text")
        return value

    def items(self, name: str) -> list[Any] | None:
        """A list field, None when absent. Raises ConfigError when it is no list."""
        value = self.value(name)
        if value is not None and not isinstance(value, list):
            self.refuse(f"{name} is {shown(value)}; it must be a list")
        return value

    def section(self, name: str) -> ModelConfig:
        """Another section of the document, as a config. Raises ConfigError when it has none."""
        section = self.outer.get(name)
        if not isinstance(section, Mapping):
            self.refuse(f"has no {name}", hint="The layout cannot be known without it.")
        return replace(self, fields=section)

    def overlaid(self, fields: Mapping[str, Any]) -> ModelConfig:
        """The same config with some of its fields replaced, as one of its layers has them."""
        own = {**self.fields, **fields}
        return replace(self, fields=own, defaults=self.defaults - fields.keys())

    def with_defaults(self, defaults: Mapping[str, Any]) -> ModelConfig:
        """The same config with fields that its config class would fill in when they are absent.

        A field that is there under another spelling is not filled in.
        """
        missing = {
            name: value
            for name, value in defaults.items()
            if name not in self.fields
            and all(self.fields.get(other) is None for other in other_spellings(name))
        }
        fields = {**missing, **self.fields}
        return replace(self, fields=fields, defaults=self.defaults | missing.keys())

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
        attention = self.value("attn_config.attn_type")
        if attention in ("multihead_attention", "multiquery_attention"):  # MPT
            return heads if attention == "multihead_attention" else 1
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


def shown(value: Any) -> str:
    """A value of a config as messages quote it."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
