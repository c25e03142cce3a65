"""A shrunk config in, the bytes of every tensor in the caches that transformers makes of it out.

No code or name from the config is run: its fields go to the library's own class for its model type.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from kvprof.against.class_defaults import complete
from kvprof.against.runnable_model import choose, in_a_section, make_model
from kvprof.against.transformers_package import explained, libraries
from kvprof.errors import ConfigError

ENCODER_TOKENS = 20
"""Positions that an encoder hands to cross attention; not a number of tokens that is tried."""


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
    torch, transformers = libraries()
    versions = {"transformers": transformers.__version__, "torch": str(torch.__version__)}
    with explained(document, transformers, f"run this model made small, in {dtype}"):
        chosen = choose(document, transformers)
        with _one_thread(torch), torch.no_grad(), torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            model = make_model(chosen, getattr(torch, dtype), torch)
            kept = {count: _layer_bytes(_cache(model, count)) for count in tokens}
    return CacheRun(chosen.config.model_type, versions, kept)


def completed(document: Mapping[str, Any]) -> dict[str, Any]:
    """A config as the library takes it, with the sizes that it leaves to the class (`complete`).

    Raises
    ------
    DeviceError
        When transformers or torch is not installed.
    ConfigError
        When the library does not know the model type, or cannot read the config.
    """
    _, transformers = libraries()
    with explained(document, transformers, "read this config"):
        nested = in_a_section(document, transformers)
        return complete(nested, choose(nested, transformers).section, transformers)


@contextlib.contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """Matrices this small take ten times as long when threads meet for each."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cache(model: Any, tokens: int) -> Any:
    """The cache after a prefill of that many tokens, by layer."""
    import torch  # noqa: PLC0415

    words = (torch.arange(tokens) % 20 + _FIRST_WORD)[None]
    if model.config.is_encoder_decoder:
        output = model(encoder_outputs=_heard(model), decoder_input_ids=words, use_cache=True)
    else:
        output = model(input_ids=words, use_cache=True, **_seen(model))
    cache = next((output[name] for name in _CACHES if output.get(name) is not None), None)
    if cache is None:
        raise ConfigError(
            f"the model type {model.config.model_type!r} returns no cache",
            hint="An encoder keeps none; a decoder of BERT's kind says is_decoder.",
        )
    # RWKV has the tensors of all layers in one, [sequences, width, layers] (modeling_rwkv.py).
    stacked = output.get("state") is cache and all(t.ndim == 3 for t in cache)
    return list(zip(*(tensor.unbind(-1) for tensor in cache), strict=True)) if stacked else cache


def _seen(model: Any) -> dict[str, Any]:
    """What decoders with cross attention to images get (modeling_mllama.py)."""
    import torch  # noqa: PLC0415

    if "cross_attention_states" not in inspect.signature(model.forward).parameters:
        return {}
    width = model.config.get_text_config().hidden_size
    return {"cross_attention_states": torch.zeros(1, ENCODER_TOKENS, width, dtype=model.dtype)}


def _heard(model: Any) -> Any:
    """What an encoder would hand over, so that none has to be fed with sound or images."""
    import torch  # noqa: PLC0415
    from transformers.modeling_outputs import BaseModelOutput  # noqa: PLC0415

    config = model.config
    named = [getattr(config, name, None) for name in ("encoder", "encoder_config")]
    parts = [part.get_text_config() for part in named if part is not None]
    width = next(p.hidden_size for p in (*parts, config) if hasattr(p, "hidden_size"))
    output = BaseModelOutput(torch.zeros(1, ENCODER_TOKENS, width, dtype=model.dtype))
    # Some decoders ask their own encoder's output for more; there is nothing to mask or route.
    output.attention_mask = None
    output.router_logits = None
    return output


def _layer_bytes(cache: Any) -> tuple[int, ...]:
    """Bytes by layer, the cross attention of an encoder-decoder with its layer."""
    parts = [getattr(cache, f"{part}_attention_cache", None) for part in ("self", "cross")]
    caches = [part for part in parts if part is not None] or [cache]
    sums: dict[int, int] = {}
    for part in caches:
        for layers in _lists_of_layers(part):
            for index, layer in enumerate(layers):
                sums[index] = sums.get(index, 0) + sum(_tensor_bytes(layer))
    return tuple(sums[index] for index in sorted(sums))


def _lists_of_layers(cache: Any) -> list[Any]:
    """A list of layers itself, or each that a cache has: MiniMax keeps states beside `layers`."""
    if isinstance(cache, list | tuple):
        return [cache]
    if not hasattr(cache, "layers"):
        raise ConfigError(
            f"the library keeps a {type(cache).__name__}, which is no list of layers",
            hint="What it keeps cannot be told layer by layer.",
        )
    return [held for held in vars(cache).values() if isinstance(held, list)]


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
