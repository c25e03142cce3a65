"""The metadata of a GGUF file in, checked values of its architecture's keys out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from msgspec import Struct

from kvprof.config import MAX_DIMENSION, MAX_LAYERS, shown
from kvprof.errors import ConfigError
from kvprof.gguf.header import Value


class Metadata(Struct, frozen=True):
    """The keys of one architecture, asked for without its name: ``attention.head_count``.

    Attributes
    ----------
    source
        The file, for messages.
    architecture
        Its ``general.architecture``.
    values
        All of its keys.
    tensors
        Bytes of its tensors by name, None when its header does not say.
    """

    source: str
    architecture: str
    values: Mapping[str, Value]
    tensors: Mapping[str, int] | None = None

    def key(self, name: str) -> str:
        """The key as it stands in the file."""
        return f"{self.architecture}.{name}"

    def has(self, name: str) -> bool:
        """Whether the key is there and says anything: not zero, not empty."""
        return bool(self.values.get(self.key(name)))

    def names(self) -> tuple[str, ...]:
        """The keys that are there and say anything, without the architecture's name."""
        prefix = self.key("")
        return tuple(
            key.removeprefix(prefix)
            for key, value in self.values.items()
            if key.startswith(prefix) and value
        )

    def integer(self, name: str, default: int | None = None, minimum: int = 1) -> int:
        """A whole number from ``minimum`` to 2**31 - 1.

        Raises
        ------
        ConfigError
            When it is not there and there is no default, or is no such number.
        """
        value = self.values.get(self.key(name), default)
        if value is None:
            self.refuse(f"has no {self.key(name)}, without which its layout cannot be known")
        return self._whole(name, value, minimum)

    def per_layer(self, name: str, layers: int, default: int | None = None) -> tuple[int, ...]:
        """A number, or a flag, for each layer: a list, or one for all of them.

        A list may go on beyond the layers: with those that predict further tokens.
        """
        value = self.values.get(self.key(name))
        if not isinstance(value, tuple):
            return (self.integer(name, default, minimum=0),) * layers
        if len(value) < layers:
            self.refuse(f"{self.key(name)} holds {len(value)} values for {layers} layers")
        return tuple(
            int(item) if isinstance(item, bool) else self._whole(name, item, 0)
            for item in value[:layers]
        )

    @property
    def layers(self) -> int:
        """Layers that decode, without those that predict further tokens (``nextn``)."""
        layers = self.integer("block_count") - self.integer("nextn_predict_layers", 0, minimum=0)
        if not 1 <= layers <= MAX_LAYERS:
            self.refuse(f"has {layers} layers; 1 to {MAX_LAYERS} are read")
        return layers

    def refuse(self, why: str, *, hint: str | None = None) -> NoReturn:
        """Raise the ConfigError that names this file."""
        raise ConfigError(f"{self.source}: {why}", hint=hint)

    def _whole(self, name: str, value: object, minimum: int) -> int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not minimum <= value <= MAX_DIMENSION:  # type: ignore[operator]
            self.refuse(
                f"{self.key(name)} is {shown(value)}; it must be a whole number from {minimum} to "
                f"{MAX_DIMENSION}"
            )
        return value  # type: ignore[return-value]
