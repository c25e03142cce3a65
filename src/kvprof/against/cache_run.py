"""A shrunk config in, the bytes of every tensor in the caches that transformers makes of it out.

No code or name from the config is run: its fields go to the library's own class for its model type.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from kvprof.config import SPELLINGS
from kvprof.config_file import LANGUAGE_SECTIONS
from kvprof.errors import ConfigError, DeviceError

ENCODER_TOKENS = 20
"""Positions that an encoder hands to cross attention; not a number of tokens that is tried."""

_MAX_LAYERS = 512
_MAX_PARAMETERS = 2**29
_UNSAFE = ("auto_map", "quantization_config", "attn_implementation", "experts_implementation")
"""Fields that make the library import code, fetch kernels or need another package."""

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
_CACHES = ("past_key_values", "cache_params", "past_buckets_states", "mems", "state")
_FIRST_WORD = 3


class CacheRun(Struct, frozen=True):
    """What a run kept.

    Attributes
    ----------
    model_type, versions
        What was run, and with which libraries.
    layer_bytes
        ``{tokens: (bytes of layer 0, ...)}``, cross attention with its layer.
    """

    model_type: str
    versions: dict[str, str]
    layer_bytes: dict[int, tuple[int, ...]]


def run_caches(document: Mapping[str, Any], dtype: str, tokens: tuple[int, ...]) -> CacheRun:
    """Run a model of random weights on the CPU, each number of tokens at once, and count its cache.

    Parameters
    ----------
    document
        A config.json that was made small (`shrink_config`).
    dtype
        Of weights and caches, an element type such as ``bfloat16``.

    Raises
    ------
    DeviceError
        When transformers or torch is not installed.
    ConfigError
        When the library does not know the model type, or cannot make or run the model.
    """
    torch, transformers = _libraries()
    versions = {"transformers": transformers.__version__, "torch": str(torch.__version__)}
    with _quiet(), _one_thread(torch), torch.no_grad(), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        try:
            config, factory = _choose(document, transformers)
            model = _model(config, factory, getattr(torch, dtype), torch)
            kept = {count: _layer_bytes(_cache(model, count)) for count in tokens}
        except ConfigError:
            raise
        except Exception as error:  # whatever a model's code does of a config that it was not for
            raise ConfigError(
                f"transformers {versions['transformers']} cannot run this model made small, in "
                f"{dtype}: {type(error).__name__}: {_brief(error)}",
                hint="Its fields may contradict each other, or kvprof shrank it wrongly.",
            ) from error
    return CacheRun(config.model_type, versions, kept)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _libraries() -> tuple[Any, Any]:
    # Read when the libraries are imported: nothing may be fetched.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        with _quiet():
            import torch  # noqa: PLC0415
            import transformers  # noqa: PLC0415
    except ImportError as error:
        raise DeviceError(
            f"checking against transformers needs transformers and torch: {error}",
            hint="pip install 'kvprof[transformers]'",
        ) from error
    return torch, transformers


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on stdout, which carries the result, and no warnings of others on stderr."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        if "transformers" in sys.modules:
            logging = sys.modules["transformers"].logging
            before = logging.get_verbosity()
            logging.set_verbosity_error()
        try:
            yield
        finally:
            if "transformers" in sys.modules and "before" in locals():
                logging.set_verbosity(before)


@contextlib.contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """Matrices this small take ten times as long when threads meet for each."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _candidates(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts of a config that may be run, the language model by itself first."""
    sections = [dict(document)]
    while not _is_encoder_decoder(sections[-1]):
        inner = (sections[-1].get(name) for name in LANGUAGE_SECTIONS)
        found = next((section for section in inner if isinstance(section, Mapping)), None)
        if found is None:
            break
        sections.append(dict(found))
    return [_safe(section) for section in reversed(sections) if section.get("model_type")]


def _is_encoder_decoder(section: Mapping[str, Any]) -> bool:
    return bool(section.get("is_encoder_decoder")) or "encoder" in section


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


def _choose(document: Mapping[str, Any], transformers: Any) -> tuple[Any, Any]:
    """The library's config and its factory of the first part of a config that it can run."""
    candidates = _candidates(document)
    known = [c for c in candidates if c["model_type"] in transformers.CONFIG_MAPPING]
    for section in known:
        _refuse_deep(section)
        fields = {k: v for k, v in section.items() if k not in _NOT_OF_THE_CLASS}
        config = transformers.CONFIG_MAPPING[section["model_type"]].from_dict(fields)
        names = [n for n in _FACTORIES if n != _CAUSAL or not config.is_encoder_decoder]
        for factory in (getattr(transformers, name, None) for name in names):
            if factory is not None and type(config) in factory._model_mapping:
                return config, factory
    named = ", ".join(repr(c["model_type"])[:60] for c in known or candidates) or "none"
    raise ConfigError(
        f"transformers {transformers.__version__} "
        f"{'has no language model of' if known else 'does not know'} the model type {named}",
        hint="A newer transformers may; code that comes with a model is never run.",
    )


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


def _model(config: Any, factory: Any, dtype: Any, torch: Any) -> Any:
    make = partial(factory.from_config, config, dtype=dtype, attn_implementation="eager")
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


def _cache(model: Any, tokens: int) -> Any:
    """The cache after a prefill of that many tokens."""
    import torch  # noqa: PLC0415
    from transformers.modeling_outputs import BaseModelOutput  # noqa: PLC0415

    words = (torch.arange(tokens) % 20 + _FIRST_WORD)[None]
    config = model.config
    if not config.is_encoder_decoder:
        output = model(input_ids=words, use_cache=True)
    else:
        encoder = getattr(config, "encoder", None) or getattr(config, "encoder_config", None)
        width = getattr(encoder, "hidden_size", None) or config.hidden_size
        heard = torch.zeros(1, ENCODER_TOKENS, width, dtype=model.dtype)
        output = model(
            encoder_outputs=BaseModelOutput(heard), decoder_input_ids=words, use_cache=True
        )
    cache = next((output[name] for name in _CACHES if output.get(name) is not None), None)
    if cache is None:
        raise ConfigError(
            f"the model type {config.model_type!r} returns no cache",
            hint="An encoder keeps none; a decoder of BERT's kind says is_decoder.",
        )
    return cache


def _layer_bytes(cache: Any) -> tuple[int, ...]:
    """Bytes by layer, the cross attention of an encoder-decoder with its layer."""
    parts = [getattr(cache, f"{part}_attention_cache", None) for part in ("self", "cross")]
    caches = [part for part in parts if part is not None] or [cache]
    sums: dict[int, int] = {}
    for part in caches:
        for index, layer in enumerate(getattr(part, "layers", part)):
            sums[index] = sums.get(index, 0) + sum(_tensor_bytes(layer))
    return tuple(sums[index] for index in sorted(sums))


def _tensor_bytes(held: Any) -> Iterator[int]:
    """Bytes of the tensors in an object; those without dimensions are counters."""
    import torch  # noqa: PLC0415

    if isinstance(held, torch.Tensor):
        if held.ndim:
            yield held.numel() * held.element_size()
    elif isinstance(held, Mapping):
        for value in held.values():
            yield from _tensor_bytes(value)
    elif isinstance(held, list | tuple):
        for value in held:
            yield from _tensor_bytes(value)
    elif hasattr(held, "__dict__"):
        yield from _tensor_bytes(vars(held))
