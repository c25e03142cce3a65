"""Phases are ranges where the CUDA module is loaded, closed however they end; else nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from kvprof._core import CpuBackend
from kvprof.measure.jobs import Workbench, run_jobs
from kvprof.measure.phases import phase
from kvprof.measure.pool import Pool
from kvprof.measure.regions import map_regions
from kvprof.measure.streams import table_jobs
from kvprof.measure.tables import admit_all


class Ranges:
    """What a tool would see of the ranges pushed and popped."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.seen: list[tuple[str, int]] = []

    def range_push(self, name: str, nbytes: int = 0) -> None:
        self.open.append(name)
        self.seen.append((name, nbytes))

    def range_pop(self) -> None:
        self.open.pop()


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> Ranges:
    found = Ranges()
    monkeypatch.setitem(sys.modules, "kvprof._cuda", found)  # type: ignore[arg-type]
    return found


def test_nothing_happens_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "kvprof._cuda", raising=False)
    with phase("anything", 5):
        assert "kvprof._cuda" not in sys.modules


def test_a_range_is_closed_when_what_is_inside_fails(ranges: Ranges) -> None:
    def interrupted() -> None:
        with phase("outer"), phase("inner", 7):
            assert ranges.open == ["outer", "inner"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ranges.open == []
    assert ranges.seen == [("outer", 0), ("inner", 7)]


def test_every_phase_of_a_job_is_a_range_with_its_bytes(
    ranges: Ranges, backend: CpuBackend, pool: Pool, small: Callable, placed: Callable
) -> None:
    plan, _ = placed(small("gqa"), 100, 16)
    regions = map_regions(plan)
    bench = Workbench(backend, pool, seed=3)
    calibrated = [name for name, _ in ranges.seen]
    assert calibrated == [f"calibrating {kind}" for kind in ("read", "rmw", "write", "copy")]
    jobs = table_jobs(bench, regions, admit_all(plan, [100] * 3, 0), "fresh", 0)
    run_jobs(bench, regions, jobs, 60.0, lambda what, part: None)
    # 3 sequences of 100 tokens of 768 B.
    assert ranges.seen[4:] == [
        ("choosing the variant of decode_read", 230_400),
        ("filling the pool", pool.nbytes),
        ("verifying decode_read", 230_400),
        ("filling the pool", pool.nbytes),
        ("sampling decode_read of attention, fresh, 3 x 100 tokens", 230_400),
    ]
    assert ranges.open == []
