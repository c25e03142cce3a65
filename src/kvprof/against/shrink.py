"""A model's config.json in, one of the same pattern out that is small enough to be run on a CPU.

Layers, their kinds and every ratio stay; heads, head sizes and widths are divided by common powers
of two, so that what must be equal before (heads x head size, expansion x hidden size) still is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from kvprof.against.roles import (
    DEPTHS,
    EXPERTS,
    EXPERTS_CHOSEN,
    GROUPS_OF_EXPERTS,
    HEAD_SIZES,
    HEADS,
    INNER_SIZES,
    RANKS,
    VOCABULARIES,
    WIDTHS,
    WINDOWS,
)
from kvprof.errors import ConfigError
from kvprof.spellings import SPELLINGS

SMALLEST_HEAD = 8
SMALLEST_WIDTH = 64
VOCABULARY = 256
_LAYERS_OF_ENCODERS = 2
_WIDTH_OF_EXPERTS = 8
"""Rows of experts are multiples of 16 bytes (torch.nn.functional.grouped_mm)."""
_MOST = 16
"""The largest divisor of heads and of head sizes."""

_CAPS = (
    dict.fromkeys(INNER_SIZES, 64)
    | dict.fromkeys(EXPERTS, 4)
    | dict.fromkeys(EXPERTS_CHOSEN, 2)
    | dict.fromkeys(GROUPS_OF_EXPERTS, 1)
    | dict.fromkeys(VOCABULARIES, VOCABULARY)
    | dict.fromkeys(WINDOWS, 16)
    # Configs give half of it to either side of a token.
    | {"local_attention": 32}
)
SIZES = frozenset((*HEADS, *HEAD_SIZES, *RANKS, *WIDTHS, *_CAPS))
"""Every field that may be made smaller."""
_ROTATE_64 = ("codegen", "gptj")
"""Model types whose config class rotates 64 dimensions of a head where the config is silent."""
_PLAIN_ROPE = ("rope_theta", "partial_rotary_factor")
_SECTIONS_OF_ROPE = ("mrope_section", "xdrope_section")


class Divisors(Struct, frozen=True):
    """What counts of heads and sizes of heads are divided by; widths by both."""

    heads: int
    head_size: int


def shrink_config(document: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json of the same pattern of layers, with small dimensions.

    Numbers never grow. Of encoders for images and sound only the layers become few: what they make
    is not kept.

    Parameters
    ----------
    document
        The decoded config.json; it is not changed.

    Raises
    ------
    ConfigError
        When it is nested too deeply.
    """
    try:
        return _shrunk(document, _divisors(list(_sections(document))))
    except RecursionError:
        raise ConfigError("the config is nested too deeply to be made small") from None


def _sections(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield document
    for name, value in document.items():
        if isinstance(value, Mapping) and not is_of_an_encoder(name):
            yield from _sections(value)


def is_of_an_encoder(name: str) -> bool:
    """Whether a section describes what images or sound go through."""
    return any(word in name for word in ("vision", "audio", "image", "speech", "vq", "codec"))


def _divisors(sections: list[Mapping[str, Any]]) -> Divisors:
    heads = _largest(lambda n: _leaves_heads(n, list(_head_counts(sections))))
    size = _largest(lambda n: _divides(n, heads, sections))
    # A width that both divide; heads give way, since head sizes cost more.
    heads = _largest(lambda n: n <= heads and _divides(size, n, sections))
    return Divisors(heads, size)


def _leaves_heads(n: int, counts: list[int]) -> bool:
    """Whether at least two of each are left, and four of some, which CodeGen's layers need."""
    return all(c % n == 0 and c // n >= 2 for c in counts) and max(counts, default=0) // n >= 4


def _largest(fits: Callable[[int], bool]) -> int:
    """The largest power of two up to 16 for which ``fits`` holds, else 1."""
    powers = [1 << power for power in range(_MOST.bit_length())]
    return max((n for n in powers if fits(n)), default=1)


def _head_counts(sections: list[Mapping[str, Any]]) -> Iterator[int]:
    """Counts of heads that can be divided: one head, or one group, stays one."""
    for section in sections:
        for name in HEADS:
            yield from (count for count in _numbers(section.get(name)) if count > 1)


def _divides(size: int, heads: int, sections: list[Mapping[str, Any]]) -> bool:
    """Whether heads divided by the one and head sizes by the other give a model that runs."""
    for section in sections:
        sizes = [n for name in HEAD_SIZES for n in _numbers(section.get(name))]
        given = any(section.get(name) is not None for name in SPELLINGS["head_dim"])
        implied = [] if given else _width_of_heads(section)
        rotated = [sum(_numbers(_rope_value(section, name))) for name in _SECTIONS_OF_ROPE]
        ranks = [n for name in RANKS for n in _numbers(section.get(name))]
        widths = [n for name in _widths(section) for n in _numbers(section.get(name))]
        if any(n % size or n // size < SMALLEST_HEAD or n // size % 2 for n in [*sizes, *implied]):
            return False
        if any(n % size for n in [*rotated, *ranks, *_width_of_heads(section)]):
            return False
        if any(n % (size * heads) for n in widths):
            return False
        experts = any(_numbers(section.get(name)) for name in EXPERTS)
        if experts and any(n // (size * heads) % _WIDTH_OF_EXPERTS for n in widths):
            return False
        if not sizes and not implied and any(n // size < SMALLEST_WIDTH for n in widths):
            return False
        factor = _rope_value(section, "partial_rotary_factor")
        if (
            isinstance(factor, float)
            and 0 < factor <= 1
            and any(int(n // size * factor) % 2 for n in sizes or implied)
        ):
            return False
    return True


def _width_of_heads(section: Mapping[str, Any]) -> list[int]:
    """Hidden size // heads; the library wants it whole also where another head size is given."""
    hidden = next((n for s in SPELLINGS["hidden"] for n in _numbers(section.get(s))), None)
    heads = next((n for s in SPELLINGS["heads"] for n in _numbers(section.get(s))), None)
    return [hidden // heads] if hidden and heads and hidden % heads == 0 else []


def _rope_value(section: Mapping[str, Any], name: str) -> Any:
    """A field of RoPE, which configs give by itself or in a section, for all or a kind of layer."""
    places = [section, section.get("rope_parameters"), section.get("rope_scaling")]
    for place in [p for p in places if isinstance(p, Mapping)]:
        kinds = [place, *(inner for inner in place.values() if isinstance(inner, Mapping))]
        for kind in kinds:
            if kind.get(name) is not None:
                return kind[name]
    return None


def _numbers(value: Any) -> list[int]:
    """A whole number above 0, or those of a list, as a list."""
    values = value if isinstance(value, list) else [value]
    return [n for n in values if isinstance(n, int) and not isinstance(n, bool) and n > 0]


def _widths(section: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields that scale with the hidden size: Mamba's inner size is named as an MLP's elsewhere."""
    mamba = "state_size" in section and "expand" in section
    return (*WIDTHS, "intermediate_size") if mamba else WIDTHS


def _shrunk(section: Mapping[str, Any], divisors: Divisors) -> dict[str, Any]:
    divided = (
        dict.fromkeys(HEADS, divisors.heads)
        | dict.fromkeys((*HEAD_SIZES, *RANKS), divisors.head_size)
        | dict.fromkeys(_widths(section), divisors.heads * divisors.head_size)
    )
    shrunk: dict[str, Any] = {}
    for name, value in section.items():
        if name in ("rope_parameters", "rope_scaling"):
            shrunk[name] = _rope(value, divisors.head_size)
        elif isinstance(value, Mapping):
            shrunk[name] = _shallow(value) if is_of_an_encoder(name) else _shrunk(value, divisors)
        elif name in divided:
            shrunk[name] = _each(value, partial(_divided, by=divided[name]))
        elif name in _CAPS:
            shrunk[name] = _each(value, partial(min, _CAPS[name]))
        else:
            shrunk[name] = value
    if section.get("model_type") in _ROTATE_64:
        shrunk.setdefault("rotary_dim", SMALLEST_HEAD)
    return shrunk | _special_tokens(section)


def _shallow(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """An encoder of two layers: it is made, but nothing goes through it."""
    shallow: dict[str, Any] = {}
    for name, value in encoder.items():
        if isinstance(value, Mapping):
            shallow[name] = _shallow(value)
        elif name == "layer_types" and isinstance(value, list):
            shallow[name] = value[:_LAYERS_OF_ENCODERS]
        elif name in DEPTHS:
            shallow[name] = _each(value, partial(min, _LAYERS_OF_ENCODERS))
        else:
            shallow[name] = value
    return shallow


def _divided(count: int, by: int) -> int:
    return count // by if count > 1 else count


def _each(value: Any, change: Callable[[int], int]) -> Any:
    """A number, or those of a list, changed; anything else as it is."""
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return change(value) if _numbers(value) else value


def _rope(value: Any, by: int) -> Any:
    """RoPE whose sections fit the smaller heads; plain where its factors are a list for each."""
    if not isinstance(value, Mapping):
        return value
    lists = [n for n, v in value.items() if isinstance(v, list) and n not in _SECTIONS_OF_ROPE]
    if lists:
        return {"rope_type": "default"} | {n: value[n] for n in _PLAIN_ROPE if n in value}
    sections = {n: _split(value[n], by) for n in _SECTIONS_OF_ROPE if n in value}
    return {name: _rope(inner, by) for name, inner in value.items()} | sections


def _split(sections: Any, by: int) -> Any:
    """Sections whose sum is divided; equal ones stay equal, and the last has what is left."""
    if not isinstance(sections, list) or len(_numbers(sections)) != len(sections):
        return sections
    first = [section // by for section in sections[:-1]]
    return [*first, sum(sections) // by - sum(first)]


def is_special_token(name: str) -> bool:
    """Whether a field has the number of a word, which the vocabulary must hold."""
    return name.endswith(("_token_id", "_token_ids", "_token_index", "_token"))


def _special_tokens(section: Mapping[str, Any]) -> dict[str, Any]:
    """Special tokens inside the small vocabulary, each its own, the last ones first."""
    moved: dict[str, Any] = {}
    for name, value in section.items():
        if is_special_token(name) and any(n >= VOCABULARY for n in _numbers(value)):
            place = max(0, VOCABULARY - 1 - len(moved))
            moved[name] = _each(value, partial(min, place))
    return moved
