"""Element types by name, and the choices of ``--cache-dtype`` and ``--state-dtype``."""

from __future__ import annotations

from msgspec import Struct

from kvprof.errors import UsageError

ELEMENT_BITS = {
    "float32": 32,
    "float16": 16,
    "bfloat16": 16,
    "fp8_e4m3": 8,
    "fp8_e5m2": 8,
    "int8": 8,
    "int4": 4,
    "fp4_e2m1": 4,
    "ue8m0": 8,
    "int64": 64,
}
"""Bits of one element of every type that can be stored."""

PLAIN_DTYPES = ("float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2", "int8")
PACKED_DTYPES = {
    "nvfp4": "4-bit floats, one fp8 scale per 16 elements: 0.5625 B per element",
    "int8_per_token_head": "int8, a float32 scale for each token, head and tensor",
    "fp8_per_token_head": "fp8_e4m3, a float32 scale for each token, head and tensor",
    "int4_per_token_head": "int4, a float32 scale for each token, head and tensor",
    "fp8_ds_mla": "packed MLA record: fp8 latent, a float32 scale per 128, bfloat16 RoPE (656 B)",
    "fp8_ds_mla_v4": "DeepSeek V4's: fp8 latent, bfloat16 RoPE, behind all rows of a page a ue8m0 "
    "scale per 64, padded to 8 B (584 B)",
    "fp8_ds_mla_v41": "DeepSeek V4.1's: fp8 latent and RoPE, a ue8m0 scale per 32 (528 B)",
    "nvfp4_ds_mla": "packed MLA record: 4-bit latent, an fp8 scale per 16, fp8 RoPE (352 B)",
}
MLA_RECORDS = ("fp8_ds_mla", "fp8_ds_mla_v4", "fp8_ds_mla_v41", "nvfp4_ds_mla")
PER_TOKEN_HEAD = {
    "int8_per_token_head": "int8",
    "fp8_per_token_head": "fp8_e4m3",
    "int4_per_token_head": "int4",
}
"""Formats with a scale for each token and head, and the type of their values."""
CACHE_DTYPES = (*PLAIN_DTYPES, *PACKED_DTYPES)

_ALIASES = {
    "float": "float32",
    "fp32": "float32",
    "half": "float16",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp8": "fp8_e4m3",
    "float8_e4m3fn": "fp8_e4m3",
    "float8_e5m2": "fp8_e5m2",
}


class Dtypes(Struct, frozen=True):
    """The dtypes that the roles of a layout stand for."""

    cache: str
    state: str
    model: str


def canonical_dtype(name: str, *, option: str) -> str:
    """The one spelling of a cache or state dtype; ``torch.`` prefixes and short names are known.

    Raises
    ------
    UsageError
        When the dtype is unknown; ``option`` says where it came from.
    """
    spelled = name.lower().removeprefix("torch.")
    spelled = _ALIASES.get(spelled, spelled)
    if spelled not in CACHE_DTYPES:
        raise UsageError(
            f"{option} is {name[:60]!r}, which is no known dtype",
            hint=f"Known: auto, fp8 (= fp8_e4m3), {', '.join(CACHE_DTYPES)}.",
        )
    return spelled
