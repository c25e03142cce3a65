"""state_update of every backend, against a NumPy model of the same memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvprof import _core

from .model import (
    WORD,
    Bytes,
    Pages,
    Runs,
    assert_same,
    bytes_of,
    pages_and_runs,
    refill,
    words_sum,
)

ONE_FLOAT = Pages(0, 1, 1, 1, (4,), 0)
FIRST_BLOCK = np.array([(0, 0, 1)], np.uint32)

# Wide enough for ties, cancellation and bits that fall off; too narrow for denormal results.
TERMS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0**-9]),
    st.floats(2.0**-20, 4, width=32),
    st.floats(-4, -(2.0**-20), width=32),
)


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


def check(
    backend: _core.CpuBackend,
    memory: _core.Memory,
    case: tuple[Pages, Runs],
    model: Callable[[Bytes], Bytes],
    update: Callable[[_core.PagePlan, str], _core.StreamResult],
) -> None:
    """Run every variant on the same memory and compare all of it with the model."""
    state, runs = case
    before = bytes_of(memory).copy()
    expected = before.copy()
    pieces = state.pieces(runs)
    for piece in pieces:
        expected[piece] = model(before[piece])
    plan = state.plan(runs)
    for variant in ["", *backend.variants("state_update")]:
        bytes_of(memory)[:] = before
        result = update(plan, variant)
        assert_same(bytes_of(memory), expected, variant)
        assert result.checksum == words_sum([expected[piece] for piece in pieces]), variant
        assert result.nbytes == 2 * plan.nbytes


@settings(max_examples=30)
@given(case=pages_and_runs(once=True), addend=st.integers(0, 2**64 - 1))
def test_words_are_added_to_and_no_other_byte_changes(
    backend: _core.CpuBackend, memory: _core.Memory, case: tuple[Pages, Runs], addend: int
) -> None:
    refill(backend, memory)

    def update(plan: _core.PagePlan, variant: str) -> _core.StreamResult:
        return backend.state_update(memory, plan, addend=addend, variant=variant)

    check(backend, memory, case, lambda piece: add_words(piece, addend), update)


@pytest.mark.parametrize(
    ("element", "unit_bytes", "model"),
    [("float32", 4, float32_bytes), ("bfloat16", 2, bfloat16_bytes)],
)
@settings(max_examples=30)
@given(data=st.data(), decay=TERMS, taken_in=TERMS)
def test_floats_decay_and_take_in_as_numpy_has_it(
    backend: _core.CpuBackend,
    memory: _core.Memory,
    element: _core.Element,
    unit_bytes: int,
    model: Callable[[Bytes, float, float], Bytes],
    data: st.DataObject,
    decay: float,
    taken_in: float,
) -> None:
    case = data.draw(pages_and_runs(unit_bytes=unit_bytes, once=True))
    bytes_of(memory)[:] = floats(memory.nbytes)

    def update(plan: _core.PagePlan, variant: str) -> _core.StreamResult:
        return backend.state_update(
            memory, plan, element=element, decay=decay, input=taken_in, variant=variant
        )

    check(backend, memory, case, lambda piece: model(piece, decay, taken_in), update)


def test_a_product_is_rounded_before_the_sum(
    backend: _core.CpuBackend, memory: _core.Memory
) -> None:
    # (1 + 2**-12)**2 = 1 + 2**-11 + 2**-24, a tie that is rounded to 1 + 2**-11. Fused with the
    # sum, 2**-24 would be left over.
    floats = np.frombuffer(memory, np.float32)
    long = Pages(0, 1, 1, 1, (4 * 999,), 0)
    for variant in backend.variants("state_update"):
        floats[:] = 1 + 2.0**-12
        backend.state_update(
            memory,
            long.plan(FIRST_BLOCK),
            element="float32",
            decay=1 + 2.0**-12,
            input=-(1 + 2.0**-11),
            variant=variant,
        )
        assert np.all(floats[:999] == 0)
        assert np.all(floats[999:] == np.float32(1 + 2.0**-12))


@pytest.mark.parametrize(
    ("before", "taken_in", "after"),
    [
        (0x3F80, 2.0**-8, 0x3F80),  # 1 + half a step: to the even 1
        (0x3F81, 2.0**-8, 0x3F82),  # 1 step more: to the even 2 steps
        (0x3F80, 2.0**-8 + 2.0**-20, 0x3F81),  # just above half a step
        (0xBF81, -(2.0**-8), 0xBF82),  # the same below zero
        (0x3FFF, 2.0**-8, 0x4000),  # a carry into the exponent
        (0x7F7F, 2.0**119, 0x7F80),  # the largest bfloat16 and half a step: infinity
    ],
)
@pytest.mark.parametrize("elements", [1, 500])
def test_bfloat16_is_rounded_to_nearest_even(
    backend: _core.CpuBackend,
    memory: _core.Memory,
    elements: int,
    before: int,
    taken_in: float,
    after: int,
) -> None:
    kept = np.frombuffer(memory, np.uint16)
    kept[:500] = before
    plan = Pages(0, 1, 1, 1, (2 * elements,), 0).plan(FIRST_BLOCK)
    backend.state_update(memory, plan, element="bfloat16", input=taken_in)
    assert set(kept[:elements].tolist()) == {after}
    assert set(kept[elements:500].tolist()) <= {before}


@pytest.mark.parametrize(("element", "bits"), [("float32", 0x0000_0001), ("bfloat16", 0x0001_0001)])
@pytest.mark.parametrize("words", [1, 500])
def test_denormals_count_as_zero(
    backend: _core.CpuBackend,
    memory: _core.Memory,
    element: _core.Element,
    bits: int,
    words: int,
) -> None:
    held = np.frombuffer(memory, np.uint32)
    held[:500] = bits
    plan = Pages(0, 1, 1, 1, (4 * words,), 0).plan(FIRST_BLOCK)
    backend.state_update(memory, plan, element=element, decay=1.0, input=0.0)
    assert not held[:words].any()
    # 2**-126 halved is denormal.
    held[:500] = 0x0080_0000 if element == "float32" else 0x0080_0080
    backend.state_update(memory, plan, element=element, decay=0.5, input=0.0)
    assert not held[:words].any()


def test_the_caller_keeps_its_denormals(backend: _core.CpuBackend, memory: _core.Memory) -> None:
    backend.state_update(memory, ONE_FLOAT.plan(FIRST_BLOCK), element="float32")
    least = np.array([1], np.uint32).view(np.float32)
    assert (least * np.float32(2)).view(np.uint32).item() == 2


@pytest.mark.parametrize(
    ("element", "row_bytes", "element_bytes"), [("float32", 6, 4), ("bfloat16", 5, 2)]
)
def test_a_row_of_broken_elements_is_refused(
    backend: _core.CpuBackend,
    memory: _core.Memory,
    element: _core.Element,
    row_bytes: int,
    element_bytes: int,
) -> None:
    before = refill(backend, memory).copy()
    plan = Pages(0, 1, 1, 4, (8, row_bytes), 0).plan(FIRST_BLOCK)
    message = f"row of {row_bytes} bytes does not hold whole elements of {element_bytes}"
    with pytest.raises(ValueError, match=message):
        backend.state_update(memory, plan, element=element)
    assert_same(bytes_of(memory), before)


def test_an_unknown_element_is_refused(backend: _core.CpuBackend, memory: _core.Memory) -> None:
    with pytest.raises(ValueError, match=r"element must be one of .*: got 'float64'"):
        backend.state_update(memory, ONE_FLOAT.plan(FIRST_BLOCK), element="float64")  # type: ignore[arg-type]
