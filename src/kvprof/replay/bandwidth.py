"""A bandwidth, or a profile that measured it, in; how long memory takes out."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from kvprof.errors import UsageError
from kvprof.model import Model
from kvprof.replay_result import MemoryTime
from kvprof.units import format_bytes, parse_rate

_MOST_BYTES = 2**28
_ASK = "Give bytes a second, e.g. 3.35TB/s, or a JSON document of `kvprof profile`."


class _Named(Struct):
    name: str


class _Device(Struct):
    ceilings: dict[str, float]


class _Step(Struct):
    bytes_read: int
    bytes_written: int
    weights_bytes: int | None
    seconds: float


class _Measured(Struct):
    """What of a profile's result tells how long memory takes."""

    model: _Named
    engine: str
    device: _Device
    step: _Step

    @property
    def cache_bytes(self) -> int:
        return self.step.bytes_read + self.step.bytes_written

    def memory_time(self, weights_bytes: int | None, source: str) -> MemoryTime:
        """At the bandwidth of the step's own streams, and weights at the read ceiling."""
        ceiling = self.device.ceilings["read"]
        seconds = self.step.seconds - (self.step.weights_bytes or 0) / ceiling
        return MemoryTime(self.cache_bytes / seconds, weights_bytes, ceiling, source)


class _Document(Struct):
    kind: str
    results: list[msgspec.Raw]


def memory_time(given: str, model: Model, engine: str, weights_bytes: int | None) -> MemoryTime:
    """What ``--bandwidth`` says of a model in an engine.

    A number is the bandwidth of everything. Of a document of ``kvprof profile`` the result of the
    same model is taken, if there are several that of the same engine, and of those the one that
    moves most: small batches are bound by latency.

    Raises
    ------
    UsageError
        When it is neither a rate nor such a document, or holds no result of the model.
    """
    if not os.path.exists(given):
        try:
            rate = parse_rate(given)
        except UsageError as error:
            raise UsageError(f"--bandwidth: {error.args[0]}, and no file", hint=_ASK) from None
        return MemoryTime(rate, weights_bytes, rate, "given")
    results = _read(Path(given))
    of_model = [each for each in results if each.model.name == model.config.name]
    if not of_model:
        names = ", ".join(dict.fromkeys(each.model.name for each in results)) or "nothing"
        raise UsageError(
            f"--bandwidth {given}: profiles {names}, not {model.config.name}",
            hint="Profile that model, or give its bandwidth in bytes a second.",
        )
    of_engine = [each for each in of_model if each.engine == engine] or of_model
    best = max(of_engine, key=lambda each: each.cache_bytes)
    return best.memory_time(weights_bytes, given)


def _read(path: Path) -> list[_Measured]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(
                f"--bandwidth {path}: larger than {format_bytes(_MOST_BYTES)}", hint=_ASK
            )
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
        if document.kind != "profile":
            raise UsageError(
                f"--bandwidth {path}: a document of kind {document.kind!r:.40}, not 'profile'",
                hint=_ASK,
            )
        results = [msgspec.json.decode(raw, type=_Measured) for raw in document.results]
    except OSError as error:
        raise UsageError(f"--bandwidth {path}: {error.strerror}", hint=_ASK) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"--bandwidth {path}: no profile: {error}", hint=_ASK) from None
    return [each for each in results if _is_usable(each)]


def _is_usable(measured: _Measured) -> bool:
    """Whether something was moved, in some time."""
    ceiling = measured.device.ceilings.get("read", 0.0)
    if measured.cache_bytes <= 0 or ceiling <= 0:
        return False
    return measured.step.seconds > (measured.step.weights_bytes or 0) / ceiling
