"""state_update of every backend, against a NumPy model of the same memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvprof import _core

from .arithmetic import Update
from .checks import check_state_update
from .model import Pages, Runs, assert_same, bytes_of, pages_and_runs, refill

ONE_FLOAT = Pages(0, 1, 1, 1, (4,), 0)
FIRST_BLOCK = np.array([(0, 0, 1)], np.uint32)

# Wide enough for ties, cancellation and bits that fall off; too narrow for denormal results.
TERMS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0**-9]),
    st.floats(2.0**-20, 4, width=32),
    st.floats(-4, -(2.0**-20), width=32),
)


@settings(max_examples=30)
@given(case=pages_and_runs(once=True), addend=st.integers(0, 2**64 - 1))
def test_words_are_added_to_and_no_other_byte_changes(
    backend: _core.Backend, memory: _core.Memory, case: tuple[Pages, Runs], addend: int
) -> None:
    check_state_update(backend, memory, *case, Update(addend=addend))


@pytest.mark.parametrize(("element", "unit_bytes"), [("float32", 4), ("bfloat16", 2)])
@settings(max_examples=30)
@given(data=st.data(), decay=TERMS, taken_in=TERMS)
def test_floats_decay_and_take_in_as_numpy_has_it(
    backend: _core.Backend,
    memory: _core.Memory,
    element: _core.Element,
    unit_bytes: int,
    data: st.DataObject,
    decay: float,
    taken_in: float,
) -> None:
    case = data.draw(pages_and_runs(unit_bytes=unit_bytes, once=True))
    check_state_update(backend, memory, *case, Update(element, decay=decay, input=taken_in))


def test_a_product_is_rounded_before_the_sum(backend: _core.Backend, memory: _core.Memory) -> None:
    # (1 + 2**-12)**2 = 1 + 2**-11 + 2**-24, a tie that is rounded to 1 + 2**-11. Fused with the
    # sum, 2**-24 would be left over.
    long = Pages(0, 1, 1, 1, (4 * 999,), 0)
    for variant in backend.variants("state_update"):
        memory.write(0, np.full(memory.nbytes // 4, 1 + 2.0**-12, np.float32))
        backend.state_update(
            memory,
            long.plan(FIRST_BLOCK),
            element="float32",
            decay=1 + 2.0**-12,
            input=-(1 + 2.0**-11),
            variant=variant,
        )
        floats = bytes_of(memory).view(np.float32)
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
    backend: _core.Backend,
    memory: _core.Memory,
    elements: int,
    before: int,
    taken_in: float,
    after: int,
) -> None:
    memory.write(0, np.full(500, before, np.uint16))
    plan = Pages(0, 1, 1, 1, (2 * elements,), 0).plan(FIRST_BLOCK)
    backend.state_update(memory, plan, element="bfloat16", input=taken_in)
    kept = bytes_of(memory).view(np.uint16)
    assert set(kept[:elements].tolist()) == {after}
    assert set(kept[elements:500].tolist()) <= {before}


@pytest.mark.parametrize(("element", "bits"), [("float32", 0x0000_0001), ("bfloat16", 0x0001_0001)])
@pytest.mark.parametrize("words", [1, 500])
def test_denormals_count_as_zero(
    backend: _core.Backend,
    memory: _core.Memory,
    element: _core.Element,
    bits: int,
    words: int,
) -> None:
    plan = Pages(0, 1, 1, 1, (4 * words,), 0).plan(FIRST_BLOCK)
    # 2**-126 halved is denormal.
    halved = 0x0080_0000 if element == "float32" else 0x0080_0080
    for held, decay in ((bits, 1.0), (halved, 0.5)):
        memory.write(0, np.full(500, held, np.uint32))
        backend.state_update(memory, plan, element=element, decay=decay, input=0.0)
        after = bytes_of(memory)[: 4 * 500].view(np.uint32)
        assert not after[:words].any()
        assert np.all(after[words:] == held)


def test_the_caller_keeps_its_denormals(cpu_backend: _core.Backend) -> None:
    memory = cpu_backend.allocate(4096)
    cpu_backend.state_update(memory, ONE_FLOAT.plan(FIRST_BLOCK), element="float32")
    least = np.array([1], np.uint32).view(np.float32)
    assert (least * np.float32(2)).view(np.uint32).item() == 2


@pytest.mark.parametrize(
    ("element", "row_bytes", "element_bytes"), [("float32", 6, 4), ("bfloat16", 5, 2)]
)
def test_a_row_of_broken_elements_is_refused(
    backend: _core.Backend,
    memory: _core.Memory,
    element: _core.Element,
    row_bytes: int,
    element_bytes: int,
) -> None:
    before = refill(backend, memory)
    plan = Pages(0, 1, 1, 4, (8, row_bytes), 0).plan(FIRST_BLOCK)
    message = f"row of {row_bytes} bytes does not hold whole elements of {element_bytes}"
    with pytest.raises(ValueError, match=message):
        backend.state_update(memory, plan, element=element)
    assert_same(bytes_of(memory), before)


def test_an_unknown_element_is_refused(backend: _core.Backend, memory: _core.Memory) -> None:
    with pytest.raises(ValueError, match=r"element must be one of .*: got 'float64'"):
        backend.state_update(memory, ONE_FLOAT.plan(FIRST_BLOCK), element="float64")  # type: ignore[arg-type]
