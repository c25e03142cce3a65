"""What a user should know of what was asked for, on stderr: none of it stops a command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kvprof.errors import UsageError
    from kvprof.model import Model
    from kvprof.result import SizeResult
    from kvprof.size import Request

_ENCODER_SECTIONS = ("encoder", "encoder_config", "audio_config", "vision_config")
_ENCODER_POSITIONS = (
    "max_source_positions",
    "max_encoder_position_embeddings",
    "encoder_max_position_embeddings",
)
_POSITIONS = ("max_position_embeddings", "n_positions")


def warn(text: str) -> None:
    """Say that a result is not what was hoped for."""
    click.echo(f"kvprof: warning: {text}", err=True)


def warn_of_refusal(model: Model, engine: str, refusal: UsageError) -> None:
    """Say why an engine is left out of a comparison."""
    warn(f"{engine} is left out for {model.config.name}: {refusal.args[0]}")


def warn_of_too_little(result: SizeResult, request: Request) -> None:
    """Say that an engine would not start: one sequence needs more than there is."""
    if result.fits_one is False:
        longest = request.limits.max_model_len
        warn(
            f"{result.engine} holds no sequence of {longest:,} tokens of "
            f"{result.model.name} in that memory; an engine that plans for it refuses to start"
        )


def note_what_has_no_effect(model: Model, *, speculative: int, encoder_tokens: int) -> None:
    """Say which options do nothing for a model, and which are missing."""
    for note in _notes(model, speculative, encoder_tokens):
        click.echo(f"kvprof: note: {note}", err=True)


def _notes(model: Model, speculative: int, encoder_tokens: int) -> Iterator[str]:
    from kvprof.layout import Clock  # noqa: PLC0415

    name, layout = model.config.name, model.layout
    if speculative and not layout.draft:
        yield (
            f"{name} has no draft layers of its own: of --speculative {speculative} only the room "
            "for drafted tokens counts, in engines that set it aside"
        )
    crosses = any(c.clock is Clock.ENCODER for layer in layout.layers for c in layer.owns)
    if crosses and not encoder_tokens:
        usual = _usual_encoder_tokens(model)
        yield (
            f"{name} keeps cross attention of encoder positions, which counts 0 without "
            f"--encoder-tokens{f'; {usual}' if usual else ''}"
        )


def _usual_encoder_tokens(model: Model) -> str:
    """The field that says how many positions the encoder has."""
    outer = model.config.outer
    nested = [(f"{name}.", outer[name]) for name in _ENCODER_SECTIONS if name in outer]
    whole = [("", outer), ("", model.config.fields)]
    found = [(*each, name) for each in (*whole, *nested) for name in _ENCODER_POSITIONS]
    # Beside a section of the encoder's own, those of the whole are the decoder's.
    found += [(*each, name) for each in nested or whole for name in _POSITIONS]
    for place, section, name in found:
        most = section.get(name) if isinstance(section, Mapping) else None
        if isinstance(most, int) and not isinstance(most, bool) and 0 < most < 2**31:
            return f"{place}{name} of its config is {most}"
    return ""
