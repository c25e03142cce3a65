"""A config in, the parameters of the model that transformers makes of it out; no memory is taken.

The model is made on PyTorch's ``meta`` device, which keeps shapes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from kvprof.against.runnable_model import choose
from kvprof.against.transformers_package import explained, libraries
from kvprof.errors import ConfigError

_MOST_EXPERTS = 1024


class Parameters(Struct, frozen=True):
    """How many parameters a model has.

    Attributes
    ----------
    matrices
        Those of matrices between the embedding and the head: what 8-bit checkpoints quantise.
    others
        Those of the embedding, the head, norms and biases.
    """

    matrices: int
    others: int


def library_parameters(document: Mapping[str, Any]) -> Parameters:
    """Count the parameters of the library's own class for a config, tied ones once.

    Draft layers are not among them: the library makes none.

    Raises
    ------
    DeviceError
        When transformers or torch is not installed.
    ConfigError
        When the library does not know the model type, or cannot make the model.
    UnavailableError
        When it needs another package.
    """
    torch, transformers = libraries()
    for name, value in _numbers(document):
        if "experts" in name and value > _MOST_EXPERTS:
            raise ConfigError(f"{name} is {value}; models of at most {_MOST_EXPERTS} are counted")
    with explained(document, transformers, "make this model"):
        chosen = choose(document, transformers, whole=True)
        with torch.device("meta"), torch.no_grad():
            model = chosen.factory.from_config(
                chosen.config, dtype=torch.bfloat16, attn_implementation="eager"
            )
            ends = _ends(model)
    matrices = others = 0
    for parameter in model.parameters():
        if parameter.ndim < 2 or id(parameter) in ends:
            others += parameter.numel()
        else:
            matrices += parameter.numel()
    return Parameters(matrices, others)


def _ends(model: Any) -> set[int]:
    """The parameters of the embedding and of the head, which quantisation leaves as they are."""
    found = (model.get_input_embeddings(), model.get_output_embeddings())
    return {id(p) for module in found if module is not None for p in module.parameters()}


def _numbers(document: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _numbers(value)
        elif isinstance(value, int):
            yield name, value
