"""Results of `kvprof check`: every field of them."""

from __future__ import annotations

from msgspec import Struct


class CheckResult(Struct, frozen=True):
    """Whether an architecture conforms, and every reason why not."""

    architecture: str
    plugin: str
    conforms: bool
    problems: tuple[str, ...]


class LayerAgreement(Struct, frozen=True):
    """One layer of a shrunk model: what the layout says it keeps, and what was kept."""

    layer: int
    expected_bytes: int
    measured_bytes: int


class AgreementResult(Struct, frozen=True, kw_only=True):
    """Whether a layout and the caches of a real implementation agree at one number of tokens.

    Attributes
    ----------
    model_type
        What was run: of a multimodal model the language model's.
    versions
        Of the libraries that ran it.
    layers
        Both counts for one sequence, by the layer's index; cross attention is with its layer.
    problems
        The first layers that differ.
    """

    model: str
    model_type: str
    plugin: str
    engine: str
    versions: dict[str, str]
    dtype: str
    tokens: int
    encoder_tokens: int
    layers: tuple[LayerAgreement, ...]
    agrees: bool
    problems: tuple[str, ...]
