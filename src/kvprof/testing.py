"""The conformance kit: what an architecture plugin asserts in its own tests.

::

    from kvprof.testing import check_architecture

    def test_conforms():
        check_architecture(MyArchitecture())
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from kvprof.binding import Dtypes, bind
from kvprof.config import ModelConfig
from kvprof.config_file import parse_config, read_document
from kvprof.conformance import layout_problems
from kvprof.dtypes import PLAIN_DTYPES
from kvprof.errors import KvprofError
from kvprof.hookspecs import Architecture
from kvprof.layout import Cache, CacheLayout, Chunk, Clock, Last, Once, Tail, entries
from kvprof.registry import registry

_COUNTED_TOKENS = 300


class ConformanceError(AssertionError):
    """An architecture does not conform; the message lists every reason."""


def check_architecture(
    architecture: Architecture, config: dict[str, Any] | None = None
) -> CacheLayout:
    """Assert that an architecture conforms; return the layout of its reference.

    Parameters
    ----------
    architecture
        The object that the plugin returns from ``kvprof_architectures``.
    config
        The fields of a config.json to lay out; by default those of its reference model.

    Raises
    ------
    ConformanceError
        With every reason, when it does not.
    """
    problems, layout = conformance(architecture, config)
    if problems or layout is None:
        name = getattr(architecture, "name", architecture)
        raise ConformanceError("\n- ".join([f"{name} does not conform:", *problems]))
    return layout


def check_against_transformers(
    config: Mapping[str, Any] | str | Path, *, engine: str = "transformers"
) -> None:
    """Assert that a config is laid out as transformers keeps it, layer by layer, to the byte.

    A small model of the same pattern, of random weights, is run on the CPU. Needs the extra
    ``kvprof[transformers]``; nothing is fetched, and no code that comes with a model is run.

    Parameters
    ----------
    config
        The fields of a config.json, its path, or the name of an architecture, whose reference
        model is taken.
    engine
        The engine whose convention says what the library keeps.

    Raises
    ------
    ConformanceError
        With the first layers that differ, for each number of tokens.
    ConfigError
        When kvprof cannot read the config, or transformers cannot run it.
    DeviceError
        When transformers or torch is not installed.
    """
    from kvprof.against.agreement import agreement, disagreements  # noqa: PLC0415

    document, name, source = _document(config)
    results = agreement(document, name=name, source=source, engine=engine)
    if reasons := disagreements(results):
        raise ConformanceError(
            "\n- ".join([f"{name}: the layout and what transformers keeps differ:", *reasons])
        )


def _document(config: Mapping[str, Any] | str | Path) -> tuple[Mapping[str, Any], str, str]:
    if isinstance(config, Mapping):
        return config, str(config.get("model_type", "config")), "the given config"
    if isinstance(config, str) and config in registry().architectures:
        reference = registry().architecture(config).what.reference
        row = registry().model(reference)
        return row.config, row.name, f"the reference of {config}"
    return read_document(config)


def conformance(
    architecture: Architecture, config: dict[str, Any] | None = None
) -> tuple[list[str], CacheLayout | None]:
    """Every reason why an architecture does not conform, and its layout when there is one."""
    problems = list(_attribute_problems(architecture))
    if config is None:
        row = registry().models.get(getattr(architecture, "reference", ""))
        if row is None:
            return [*problems, "its reference is in no catalogue"], None
        config = row.config
        model_type = row.model_config().model_type
        if not problems and model_type not in architecture.model_types:
            problems.append(f"it does not claim the model type {model_type!r} of its reference")
    fields = copy.deepcopy(config)
    try:
        layout = architecture.layout(_model_config(fields))
        again = architecture.layout(_model_config(copy.deepcopy(config)))
    except (Exception, SystemExit) as error:
        return [*problems, f"layout() raised {type(error).__name__}: {error}"], None
    problems += layout_problems(layout)
    if problems:
        return problems, None
    if fields != config:
        problems.append("layout() changes the config")
    if again != layout:
        problems.append("layout() gives two layouts for one config")
    problems += _refusal_problems(architecture)
    problems += _counting_problems(layout)
    problems += _binding_problems(layout)
    return problems, layout


def count_entries(cache: Cache, tokens: int, encoder_tokens: int = 0) -> int:
    """Entries held after ``tokens`` tokens, found by keeping and dropping them one by one."""
    held: list[int] = []
    counted = encoder_tokens if cache.clock is Clock.ENCODER else tokens
    for token in range(counted):
        if isinstance(cache.keep, Once):
            held = [0]
            continue
        if (token + 1) % cache.entry_tokens:
            continue
        entry = token // cache.entry_tokens
        if isinstance(cache.keep, Chunk) and entry % cache.keep.n == 0:
            held.clear()
        held.append(entry)
        if isinstance(cache.keep, Last) and len(held) > cache.keep.n:
            held.pop(0)
        if isinstance(cache.keep, Tail) and len(held) == cache.keep.n:
            held.clear()
    return len(held)


def _model_config(fields: dict[str, Any]) -> ModelConfig:
    return parse_config(fields, name="conformance", source="the conformance kit")


def _attribute_problems(architecture: Architecture) -> Iterator[str]:
    for attribute in ("name", "summary", "reference"):
        value = getattr(architecture, attribute, None)
        if not isinstance(value, str) or not value.strip() or "\n" in value:
            yield f"{attribute} is {value!r}; it must be one line of text"
    types = getattr(architecture, "model_types", None)
    listed = isinstance(types, Collection) and not isinstance(types, str)
    if not listed or not types or not all(isinstance(t, str) for t in types):
        yield f"model_types is {types!r}; it must be a collection of model types"


def _refusal_problems(architecture: Architecture) -> Iterator[str]:
    """A config that says nothing must be refused as a config, not as a bug."""
    try:
        architecture.layout(_model_config({}))
    except KvprofError:
        return
    except (Exception, SystemExit) as error:
        yield (
            f"layout() of an empty config raised {type(error).__name__}, which is a bug and not a "
            "ConfigError; read fields through config.integer() and its kin"
        )
    else:
        yield "layout() accepts an empty config, so it guesses"


def _counting_problems(layout: CacheLayout) -> Iterator[str]:
    """The entries of every cache, counted token by token."""
    for cache in dict.fromkeys(cache for _, cache in layout.caches()):
        for tokens in (0, 1, 2, cache.entry_tokens, 127, 128, 129, _COUNTED_TOKENS):
            counted = count_entries(cache, tokens, tokens)
            if entries(cache, tokens, tokens) != counted:
                yield f"cache {cache.key!r} holds {counted} entries at {tokens} tokens by counting"


def _binding_problems(layout: CacheLayout) -> Iterator[str]:
    for dtype in PLAIN_DTYPES:
        try:
            bind(layout, Dtypes(cache=dtype, state=dtype, model="bfloat16"))
        except KvprofError as error:
            yield f"it cannot be kept in {dtype}: {error}"
