"""What `size` says of engines without block tables, against a replay of one such request."""

from __future__ import annotations

import pytest

from kvprof.allocated import peak_allocated_bytes
from kvprof.case import Case
from kvprof.model import named_model, reference_model
from kvprof.plan import REQUEST_WASTES
from kvprof.registry import registry
from kvprof.replay.pace import Pace
from kvprof.replay.run import replay
from kvprof.replay_result import ReplayResult, TraceSource
from kvprof.size import Request, place, size_model

from .test_by_hand import Table

ENGINES = ("orca-max", "orca-oracle", "orca-pow2", "vmm")
ARCHITECTURES = sorted(n for n, o in registry().architectures.items() if o.origin.builtin)
ENCODER = 24


def case_of(architecture: str, engine: str, tokens: int, longest: int) -> Case:
    request = Request(
        tokens=tokens, max_model_len=longest, encoder_tokens=ENCODER, memory_bytes=2**42
    )
    return Case(reference_model(architecture), registry().engine(engine).what, request)


def replayed(case: Case, prompt: int, output: int) -> ReplayResult:
    table = Table(((0.0, prompt, output, ()),))
    return replay(case, table, Pace(), source=TraceSource("table", "", ())).result


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_size_says_what_a_replay_reserves(architecture: str, engine: str) -> None:
    for tokens, longest in ((1, 1), (37, 37), (700, 5000), (4097, 5000), (9000, 9001)):
        case = case_of(architecture, engine, tokens, longest)
        size = size_model(case.model, case.engine, case.request)
        assert size.bytes.reserved == size.bytes.logical + sum(size.waste.values())
        if engine == "orca-pow2":  # all of it output; what it holds when it is fullest is no more
            assert size.bytes.reserved == replayed(case, 0, tokens).bytes.reserved
            continue
        found = replayed(case, tokens, 0)
        assert (size.bytes.logical, size.bytes.reserved) == (
            found.bytes.logical,
            found.bytes.reserved,
        )
        assert {name: size.waste[name] for name in REQUEST_WASTES} == found.waste


@pytest.mark.parametrize("architecture", ["sliding", "chunked", "hybrid", "gqa"])
def test_the_most_pages_on_the_way(architecture: str) -> None:
    for output in (5, 900, 9000):
        case = case_of(architecture, "vmm", output, output)
        placement = place(case.model, case.engine, case.request)
        limits = case.request.limits
        found = peak_allocated_bytes(placement.allocation, placement.kept, output, limits)
        most = replayed(case, 1, output - 1).pools[0].most.bytes
        assert found is not None
        assert most <= found <= most * 1.2


def test_a_power_of_two_of_the_output() -> None:
    # Llama 3 8B, 128 KiB a token: 3,000 tokens are rounded up to 4,096, and no longer than may be.
    engine, model = registry().engine("orca-pow2").what, named_model("llama-3-8b")
    found = size_model(model, engine, Request(tokens=3000, max_model_len=8192))
    assert found.waste["never_used"] == 1096 * 131_072
    found = size_model(model, engine, Request(tokens=3000, max_model_len=3500))
    assert found.waste["never_used"] == 500 * 131_072
    assert found.waste["padding"] == 596 * 131_072
