"""A config in, the model that transformers makes of it out; of the config nothing is run.

Its fields go to the library's own class for its model type, without those that name code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from kvprof.config_file import LANGUAGE_SECTIONS
from kvprof.errors import ConfigError
from kvprof.spellings import SPELLINGS

_MAX_LAYERS = 512
_MAX_PARAMETERS = 2**29
_UNSAFE = ("auto_map", "quantization_config", "attn_implementation", "experts_implementation")
"""Fields that make the library import code, fetch kernels or need another package."""
_OF_THE_WHOLE = ("model_type", "architectures", "vision_config", "audio_config")
_NOT_OF_THE_CLASS = ("model_type", "dtype", "torch_dtype")
_CAUSAL = "AutoModelForCausalLM"
"""Of an encoder-decoder this would be the decoder without its cross attention."""
_FACTORIES = (
    _CAUSAL,
    "AutoModelForSeq2SeqLM",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForImageTextToText",
    "AutoModelForMultimodalLM",
    "AutoModel",
)


_WITH_ENCODERS = ("AutoModelForMultimodalLM", "AutoModelForImageTextToText")
"""Of these first where the encoders count: others make the language model alone."""


def _candidates(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parts of a config that may be run, the language model by itself first."""
    sections = [document]
    while True:
        # The decoder of an encoder-decoder keeps cross attention only with its encoder.
        names = [n for n in LANGUAGE_SECTIONS if n != "decoder" or "encoder" not in sections[-1]]
        inner = (sections[-1].get(name) for name in names)
        found = next((section for section in inner if isinstance(section, Mapping)), None)
        if found is None:
            break
        sections.append(found)
    return [section for section in reversed(sections) if section.get("model_type")]


def _safe(section: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(value)
        for name, value in section.items()
        if name not in _UNSAFE and not name.startswith("_")
    }


def _plain(value: Any) -> Any:
    """A value without unsafe fields; infinity, which JSON lacks, as the library saves it."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    number = value.get("__float__")
    return float(number) if number in ("Infinity", "-Infinity", "NaN") else _safe(value)


class Chosen(Struct, frozen=True):
    """The part of a config that is run: the library's config of it and the factory of models."""

    section: Mapping[str, Any]
    config: Any
    factory: Any


def in_a_section(document: Mapping[str, Any], transformers: Any) -> Mapping[str, Any]:
    """A config whose language model is in a section, where the library looks for it.

    Some are published without, and the library would take its own defaults then.
    """
    sections = getattr(known_class(document, transformers), "sub_configs", {})
    if "text_config" not in sections or any(name in document for name in LANGUAGE_SECTIONS):
        return document
    inner = {name: value for name, value in document.items() if name not in _OF_THE_WHOLE}
    return {name: document[name] for name in _OF_THE_WHOLE if name in document} | {
        "text_config": inner
    }


def choose(document: Mapping[str, Any], transformers: Any, *, whole: bool = False) -> Chosen:
    """The first part of a config that the library can run.

    Parameters
    ----------
    whole
        Try the whole model before its language model.

    Raises
    ------
    ConfigError
        When the library knows no model type of it.
    """
    candidates = _candidates(document)[:: -1 if whole else 1]
    factories = (*_WITH_ENCODERS, *_FACTORIES) if whole else _FACTORIES
    known = [c for c in candidates if known_class(c, transformers)]
    for section in known:
        _refuse_deep(section)
        config = known_class(section, transformers).from_dict(of_json(section))
        names = [n for n in factories if n != _CAUSAL or not config.is_encoder_decoder]
        for factory in (getattr(transformers, name, None) for name in names):
            if factory is not None and type(config) in factory._model_mapping:
                return Chosen(section, config, factory)
    named = ", ".join(repr(c["model_type"])[:60] for c in known or candidates) or "none"
    raise ConfigError(
        f"transformers {transformers.__version__} "
        f"{'has no language model of' if known else 'does not know'} the model type {named}",
        hint="A newer transformers may; code that comes with a model is never run.",
    )


def known_class(section: Mapping[str, Any], transformers: Any) -> Any:
    """The library's own class of configs of a section's model type, else None."""
    name = section.get("model_type")
    known = isinstance(name, str) and name in transformers.CONFIG_MAPPING
    return transformers.CONFIG_MAPPING[name] if known else None


def of_json(section: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a class of the library may read."""
    return {k: v for k, v in _safe(section).items() if k not in _NOT_OF_THE_CLASS}


def _refuse_deep(section: Mapping[str, Any]) -> None:
    for name in (*SPELLINGS["layers"], "encoder_layers", "num_encoder_layers", "depth"):
        layers = section.get(name)
        if isinstance(layers, int) and layers > _MAX_LAYERS:
            raise ConfigError(
                f"{name} is {layers}; models of at most {_MAX_LAYERS} layers are run",
                hint="The same pattern with fewer layers proves as much.",
            )
    for inner in section.values():
        if isinstance(inner, Mapping):
            _refuse_deep(inner)


def make_model(chosen: Chosen, dtype: Any, torch: Any) -> Any:
    """A model of random weights. Raises ConfigError when it is too large to be run."""
    make = partial(
        chosen.factory.from_config, chosen.config, dtype=dtype, attn_implementation="eager"
    )
    with torch.device("meta"):
        parameters = _elements(make())
    if parameters > _MAX_PARAMETERS:
        raise ConfigError(
            f"even made small the model has {parameters} weights; at most {_MAX_PARAMETERS} "
            "are run",
            hint="Heads and widths are divided by common powers of two; these have few.",
        )
    return make().eval()


def _elements(model: Any) -> int:
    return sum(held.numel() for held in (*model.parameters(), *model.buffers()))
