"""The backends of one machine agree with one another: bytes, checksums and counts."""

from collections.abc import Callable

import numpy as np
import pytest

from kvprof import _core

from .model import Pages, bytes_of

# Two caches whose pages of 4 heads x 3 rows x 72 bytes lie in different orders, from odd starts.
LAYERS_FIRST = Pages(6, 3, 50, 3, (72,) * 4, 0)
BLOCKS_FIRST = Pages(400_002, 3, 50, 3, (72,) * 4, 8, blocks_outermost=True)
ORDER = np.random.default_rng(2).permutation(50)
# Every other page is partly filled, and with no divisor that two threads could like.
RUNS = np.array([(block, block % 2, 3 - block % 2) for block in ORDER], np.uint32)
PLAN = LAYERS_FIRST.plan(RUNS)
SLOTS = np.random.default_rng(3).permutation(150)[:101].astype(np.int64)
SOURCE = np.arange(5 * 4 * 72, dtype=np.uint8)

Operation = Callable[[_core.Backend, _core.Memory], _core.StreamResult]

OPERATIONS: dict[str, Operation] = {
    "decode_read": lambda b, m: b.decode_read(m, PLAN),
    "append": lambda b, m: b.append(
        m, _core.SlotPlan(**LAYERS_FIRST.placement, rows_per_block=3, slots=SLOTS), SOURCE
    ),
    "word64": lambda b, m: b.state_update(m, PLAN, addend=2**63 + 12345),
    "float32": lambda b, m: b.state_update(m, PLAN, element="float32", decay=0.9, input=0.3),
    "bfloat16": lambda b, m: b.state_update(m, PLAN, element="bfloat16", decay=0.9, input=0.3),
    "block_copy": lambda b, m: b.block_copy(m, _core.CopyPlan(PLAN, BLOCKS_FIRST.plan(RUNS))),
    "zero": lambda b, m: b.zero(m, PLAN),
    "ceiling read": lambda b, m: b.ceiling(m, "read", "", 8, 900_008),
    "ceiling write": lambda b, m: b.ceiling(m, "write", "", 8, 900_008),
    "ceiling copy": lambda b, m: b.ceiling(m, "copy", "", 8, 900_008),
    "ceiling rmw": lambda b, m: b.ceiling(m, "rmw", "", 8, 900_008),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_neither_threads_nor_instructions_change_a_result(
    backends: list[_core.Backend], name: str
) -> None:
    outcomes = set()
    for backend in backends:
        memory = backend.allocate(1 << 20)
        backend.fill(memory, 0, memory.nbytes, 4, finite=True)
        result = OPERATIONS[name](backend, memory)
        outcomes.add((result.nbytes, result.checksum, bytes_of(memory).tobytes()))
    assert len(outcomes) == 1
