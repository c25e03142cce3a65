"""A config in, what a layout says and what transformers keeps out, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvprof.accounting import entry_bytes
from kvprof.against.cache_run import ENCODER_TOKENS, completed, run_caches
from kvprof.against.shrink import shrink_config
from kvprof.check_result import AgreementResult, LayerAgreement
from kvprof.config_file import parse_config
from kvprof.hookspecs import Engine
from kvprof.layout import CacheLayout, entries
from kvprof.model import lay_out
from kvprof.registry import registry
from kvprof.size import Request, place

TOKENS = (12, 40, 128)
"""Below every window of a shrunk config, above it, and a whole group of 128 compressed tokens."""

_NAMED = 5
_OTHER_DEFAULTS = (
    "what the config leaves out the library's class fills in otherwise than the layout does"
)


def agreement(
    document: Mapping[str, Any], *, name: str, source: str, engine: str = "transformers"
) -> list[AgreementResult]:
    """Whether the layout of a config and the caches of the real implementation agree, to the byte.

    Both are made of the config shrunk by `shrink_config`.

    Parameters
    ----------
    document
        The decoded config.json.
    engine
        The engine whose convention says what the layout keeps there.

    Returns
    -------
    list of AgreementResult
        One for each number of tokens.

    Raises
    ------
    ConfigError
        When either cannot be made of the config.
    DeviceError
        When transformers is not installed.
    """
    full = completed(document)
    small = shrink_config(full)
    read, as_completed, model = (
        lay_out(parse_config(fields, name=name, source=source))
        for fields in (document, full, small)
    )
    defaults = [] if read.layout.layers == as_completed.layout.layers else [_OTHER_DEFAULTS]
    chosen = registry().engine(engine).what
    requests = [Request(tokens=count, encoder_tokens=ENCODER_TOKENS) for count in TOKENS]
    placement = place(model, chosen, requests[0])
    run = run_caches(small, placement.dtypes.model, TOKENS)
    results = []
    for tokens in TOKENS:
        layers = _layers(_expected(placement.kept, tokens), run.layer_bytes[tokens])
        problems = (*defaults, *_problems(layers))
        if problems:
            problems += tuple(_of_another_version(chosen, run.versions))
        results.append(
            AgreementResult(
                model=name,
                model_type=run.model_type,
                plugin=model.plugin,
                engine=engine,
                versions=run.versions,
                dtype=placement.dtypes.model,
                tokens=tokens,
                encoder_tokens=ENCODER_TOKENS,
                layers=layers,
                agrees=not problems,
                problems=problems,
            )
        )
    return results


def disagreements(results: Sequence[AgreementResult]) -> list[str]:
    """What differs, and at how many tokens; nothing where both agree."""
    return [f"at {result.tokens} tokens, {p}" for result in results for p in result.problems]


def _of_another_version(engine: Engine, versions: Mapping[str, str]) -> Iterator[str]:
    """That an engine describes another version of the library than was run."""
    described, ran = getattr(engine, "describes", ""), versions["transformers"]
    if described and not f"{ran}.".startswith(f"{described}."):
        yield (
            f"the engine {engine.name} describes transformers {described}, and {ran} was run: "
            "it may keep something else"
        )


def _expected(kept: CacheLayout, tokens: int) -> tuple[int, ...]:
    return tuple(
        sum(entries(c, tokens, ENCODER_TOKENS) * entry_bytes(c) for c in layer.owns)
        for layer in kept.layers
    )


def _layers(expected: tuple[int, ...], measured: tuple[int, ...]) -> tuple[LayerAgreement, ...]:
    """Both by index; a layer that one of them does not have keeps nothing there."""
    count = max(len(expected), len(measured))
    pad = [tuple(side) + (0,) * (count - len(side)) for side in (expected, measured)]
    return tuple(LayerAgreement(index, *pair) for index, pair in enumerate(zip(*pad, strict=True)))


def _problems(layers: tuple[LayerAgreement, ...]) -> list[str]:
    differing = [layer for layer in layers if layer.expected_bytes != layer.measured_bytes]
    problems = [
        f"layer {layer.layer}: the layout says {layer.expected_bytes} bytes, "
        f"{layer.measured_bytes} were kept"
        for layer in differing[:_NAMED]
    ]
    if len(differing) > _NAMED:
        problems.append(f"and {len(differing) - _NAMED} more of {len(layers)} layers")
    return problems
