"""Engines side by side: what one sequence takes at the usual contexts, worked out by hand."""

from kvprof.case import Case
from kvprof.contexts import CONTEXTS, context_points
from kvprof.model import catalogue_model
from kvprof.registry import registry
from kvprof.result import ContextPoint
from kvprof.size import Request

GIB = 2**30


def points(
    model: str, engine: str, memory: int | None, block_size: int | None = None
) -> tuple[ContextPoint, ...]:
    request = Request(tokens=1, block_size=block_size, memory_bytes=memory)
    case = Case(catalogue_model(model), registry().engine(engine).what, request)
    return context_points(case)


def test_gemma_3_27b_at_8k() -> None:
    # 10 layers of 8,192 entries and 52 of 1,024, each of 8,192 B:
    # 671,088,640 + 436,207,616 = 1,107,296,256 B, of which 40 GiB hold 38.7.
    at = {point.tokens: point for point in points("gemma-3-27b", "logical", 40 * GIB)}
    assert tuple(at) == CONTEXTS
    assert at[8192].logical == at[8192].reserved == 1_107_296_256
    assert at[8192].bytes_per_token == 135_168
    assert at[8192].sequences_that_fit == 38


def test_blocks_that_end_late_are_a_waste_by_name() -> None:
    # 32,768 is no multiple of 3,000: the last block is 11 x 3,000 - 32,768 = 232 rows short, of
    # 4,096 B in each of 32 layers.
    at = {p.tokens: p for p in points("llama-3-8b", "paged", None, block_size=3000)}
    assert at[32_768].waste == {"tail": 232 * 4096 * 32}
    assert at[32_768].reserved == at[32_768].logical + 232 * 4096 * 32
    assert at[32_768].sequences_that_fit is None
