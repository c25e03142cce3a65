"""What NumPy makes of a state update."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kvprof import _core

from .model import WORD, Bytes


def add_words(piece: Bytes, addend: int) -> Bytes:
    """Whole words, and what is left as a shorter word."""
    whole = len(piece) - len(piece) % WORD
    words = piece[:whole].view("<u8") + np.uint64(addend)
    rest = len(piece) - whole
    value = int.from_bytes(piece[whole:].tobytes(), "little") + addend
    tail = (value % 256**rest).to_bytes(rest, "little")
    return np.concatenate([words.view(np.uint8), np.frombuffer(tail, np.uint8)])


def decay_float32(
    values: NDArray[np.float32], decay: float, taken_in: float
) -> NDArray[np.float32]:
    product = values * np.float32(decay)
    return product + np.float32(taken_in)


def float32_bytes(piece: Bytes, decay: float, taken_in: float) -> Bytes:
    return decay_float32(piece.view(np.float32), decay, taken_in).view(np.uint8)


def bfloat16_bytes(piece: Bytes, decay: float, taken_in: float) -> Bytes:
    """Round a float32 to nearest, ties to even, by adding to its bits as integers."""
    values = (piece.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    bits = decay_float32(values, decay, taken_in).view(np.uint32).astype(np.uint64)
    rest, kept = bits & 0xFFFF, bits >> 16
    up = (rest > 0x8000) | ((rest == 0x8000) & (kept % 2 == 1))
    return (kept + up).astype(np.uint16).view(np.uint8)


@cache
def floats(nbytes: int) -> Bytes:
    """Exponents from 2**-20 to 2**19 in either half, so that they are floats of both widths."""
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**32, nbytes // 4, np.uint32) & np.uint32(0x807F807F)
    exponents = rng.integers(107, 147, nbytes // 4, np.uint32)
    return (bits | exponents << 23 | exponents << 7).view(np.uint8)


@dataclass(frozen=True)
class Update:
    """The arguments of a state_update, and what it makes of a run."""

    element: _core.Element = "word64"
    addend: int = 0
    decay: float = 1.0
    input: float = 0.0

    def applied(self, piece: Bytes) -> Bytes:
        if self.element == "word64":
            return add_words(piece, self.addend)
        model = float32_bytes if self.element == "float32" else bfloat16_bytes
        return model(piece, self.decay, self.input)

    def run(
        self, backend: _core.Backend, memory: _core.Memory, plan: _core.PagePlan, variant: str
    ) -> _core.StreamResult:
        return backend.state_update(
            memory,
            plan,
            element=self.element,
            addend=self.addend,
            decay=self.decay,
            input=self.input,
            variant=variant,
        )
