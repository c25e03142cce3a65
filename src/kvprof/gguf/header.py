"""The header of a GGUF file in, its metadata and the sizes of its tensors out.

No tensor data is read, so it need not be there. Files are untrusted: what is read of one is
bounded, and nothing is allocated because a file says how long something is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from struct import Struct as Packed
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

from msgspec import Struct

from kvprof.errors import ConfigError, UnavailableError

MAGIC = b"GGUF"
MAX_HEADER_BYTES = 64 * 2**20
MAX_ENTRIES = 65_536
MAX_KEPT = 16_384
"""Longest array, and longest text in bytes, that is kept: more than any model has layers."""

_CHUNK_BYTES = 2**18
_MAX_KEY_BYTES = 65_535
_MAX_DIMENSIONS = 4
_MAX_TENSORS = 2**18
_VERSIONS = (2, 3)
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]


class GgufHeader(Struct, frozen=True):
    """What a GGUF file says before its data.

    Attributes
    ----------
    metadata
        Its key-value pairs, without arrays and texts that are longer than `MAX_KEPT`.
    tensors
        Bytes of each tensor by name; None where the file ends before the last of them, or one has
        a type of unknown size.
    """

    metadata: Mapping[str, Value]
    tensors: Mapping[str, int] | None


class _CutOffError(ConfigError):
    """The file ends inside its header."""


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do; False when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def shards(path: Path) -> tuple[Path, ...]:
    """The files of a model in order: ``name-00001-of-00003.gguf`` and its kin, else the file."""
    found = _SHARD.search(path.name)
    if found is None:
        return (path,)
    stem, count = path.name[: found.start()], int(found[2])
    return tuple(
        path.with_name(f"{stem}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)
    )


def model_name(path: Path) -> str:
    """The name of a file without its ending and its shard."""
    return _SHARD.sub("", path.name).removesuffix(".gguf")


def read_header(path: Path) -> GgufHeader:
    """Read the header of one file. Format: ``docs/gguf.md`` of ggml, versions 2 and 3.

    Raises
    ------
    ConfigError
        When the file cannot be read, is no such file, or ends inside its metadata.
    UnavailableError
        When the package ``gguf`` is not installed.
    """
    try:
        with path.open("rb") as stream:
            return _read(_Cursor(stream, str(path)))
    except OSError as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error.strerror or error}") from None


def _read(cursor: _Cursor) -> GgufHeader:
    types = _constants()
    if cursor.take(len(MAGIC)) != MAGIC:
        cursor.refuse("is no GGUF file")
    version = cursor.number("I")
    if not version & 0xFFFF:  # written on a machine of the other byte order
        cursor.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in _VERSIONS:
        cursor.refuse(f"is GGUF version {version}; versions 2 and 3 are read")
    tensors, entries = cursor.number("Q"), cursor.number("Q")
    if entries > MAX_ENTRIES:
        cursor.refuse(
            f"says that it has {entries} metadata entries; at most {MAX_ENTRIES} are read"
        )
    if tensors > _MAX_TENSORS:
        cursor.refuse(f"says that it has {tensors} tensors; at most {_MAX_TENSORS} are read")
    metadata: dict[str, Value] = {}
    for index in range(entries):
        cursor.place = f"metadata entry {index + 1} of {entries}"
        key = cursor.text(_MAX_KEY_BYTES)
        if key in metadata:
            cursor.refuse(f"has the key {key[:60]!r} twice")
        value = _value(cursor, types, cursor.number("I"))
        if value is not None:
            metadata[key] = value
    try:
        sizes = _tensors(cursor, types, tensors)
    except _CutOffError:
        sizes = None
    return GgufHeader(metadata, sizes)


def _value(cursor: _Cursor, types: ModuleType, kind: int) -> Value | None:
    """One value, None when it is too long to be kept."""
    value_type = types.GGUFValueType
    if kind == value_type.STRING:
        return cursor.short_text()
    if kind != value_type.ARRAY:
        scalar: Scalar = cursor.number(_code(cursor, kind))
        return scalar
    kind, count = cursor.number("I"), cursor.number("Q")
    if kind == value_type.STRING:
        if count <= MAX_KEPT:
            return tuple(cursor.short_text() or "" for _ in range(count))
        cursor.skip_texts(count)
        return None
    code = _code(cursor, kind)
    if count <= MAX_KEPT:
        return cursor.numbers(code, count)
    cursor.skip(count * Packed(f"<{code}").size)
    return None


def _code(cursor: _Cursor, kind: int) -> str:
    """How a number of a GGUF type is packed, in the letters of ``struct``."""
    codes = "BbHhIif?\0\0Qqd"  # in the order of GGUFValueType; texts and arrays are no numbers
    if kind >= len(codes) or codes[kind] == "\0":
        cursor.refuse(f"has a value of the type {kind}, which is not read")
    return codes[kind]


def _tensors(cursor: _Cursor, types: ModuleType, count: int) -> dict[str, int] | None:
    sizes: dict[str, int] = {}
    known = True
    for index in range(count):
        cursor.place = f"tensor {index + 1} of {count}"
        name = cursor.text(_MAX_KEY_BYTES)
        dimensions = cursor.number("I")
        if dimensions > _MAX_DIMENSIONS:
            cursor.refuse(f"says that a tensor has {dimensions} dimensions")
        elements = 1
        for size in cursor.numbers("Q", dimensions):
            elements *= size
        quantisation = types.GGML_QUANT_SIZES.get(cursor.number("I"))
        cursor.number("Q")  # where its data begins
        if quantisation is None:
            known = False
            continue
        block_elements, block_bytes = quantisation
        sizes[name] = elements * block_bytes // block_elements
    return sizes if known else None


class _Cursor:
    """A place in what has been read of a file; more is read when it is asked for."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self.order = "<"
        self.place = "its first bytes"
        self._stream = stream
        self._source = source
        self._data = bytearray()
        self._position = 0

    def refuse(self, why: str) -> NoReturn:
        raise ConfigError(f"{self._source}: {why}")

    def take(self, size: int) -> bytes:
        start = self._position
        self.skip(size)
        return bytes(self._data[start : start + size])

    def skip(self, size: int) -> None:
        self._reach(self._position + size)
        self._position += size

    def number(self, code: str) -> Any:
        return self.numbers(code, 1)[0]

    def numbers(self, code: str, count: int) -> tuple[Any, ...]:
        packed = Packed(f"{self.order}{count}{code}")
        start = self._position
        self.skip(packed.size)
        return packed.unpack_from(self._data, start)

    def text(self, longest: int) -> str:
        size = self.number("Q")
        if size > longest:
            self.refuse(f"has a name of {size} bytes in {self.place}; at most {longest} are read")
        return self.take(size).decode("utf-8", "replace")

    def short_text(self) -> str | None:
        """A text, None when it is longer than `MAX_KEPT` bytes."""
        size = self.number("Q")
        if size > MAX_KEPT:
            self.skip(size)
            return None
        return self.take(size).decode("utf-8", "replace")

    def skip_texts(self, count: int) -> None:
        """Vocabularies have hundreds of thousands of texts, so this loop has no calls in it."""
        data, position = self._data, self._position
        unpack = Packed(f"{self.order}Q").unpack_from
        for _ in range(count):
            if position + 8 > len(data):
                self._reach(position + 8)
            position += 8 + unpack(data, position)[0]
        self._reach(position)
        self._position = position

    def _reach(self, end: int) -> None:
        if end > MAX_HEADER_BYTES:
            self.refuse(f"{self.place} goes beyond {MAX_HEADER_BYTES} bytes, which no header does")
        while len(self._data) < end:
            chunk = self._stream.read(_CHUNK_BYTES)
            if not chunk:
                raise _CutOffError(
                    f"{self._source}: ends after {len(self._data)} bytes, inside {self.place}",
                    hint="Its tensors may be missing, but all of its metadata must be there.",
                )
            self._data += chunk


def _constants() -> ModuleType:
    try:
        from gguf import constants  # noqa: PLC0415 - it imports NumPy and more
    except ImportError:
        raise UnavailableError(
            "GGUF files are read with the package gguf, which is not installed",
            hint="pip install 'kvprof[gguf]'",
        ) from None
    return constants
