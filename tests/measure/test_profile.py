"""A whole profile of the CPU treated as a device with memory of its own: its fields, its report."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from kvprof.document import Document
from kvprof.measure.jobs import Workbench
from kvprof.measure.profile import Point, Settings, profile_points
from kvprof.operations import OPERATIONS
from kvprof.profile_result import ProfileResult
from kvprof.registry import registry
from kvprof.reports.profile import profile_sheets
from kvprof.size import Request


def settings(**changes: object) -> Settings:
    given = {
        "request": Request(tokens=0, cache_dtype="bfloat16"),
        "tokens": 64,
        "sequences": 3,
        "weights_bytes": None,
        "capacity_bytes": 2**30,
        "operations": frozenset(OPERATIONS),
        "prefill": True,
        "budget_seconds": 60.0,
    }
    return Settings(**(given | changes))


def profiled(bench: Workbench, model: object, **changes: object) -> ProfileResult:
    point = Point(model, registry().engine("paged").what, settings(**changes))  # type: ignore[arg-type]
    (result,), left_out = profile_points(bench, [point], lambda what, part: None)
    assert left_out == []
    return result


@pytest.fixture
def result(own_memory_bench: Workbench, small: Callable) -> ProfileResult:
    return profiled(own_memory_bench, small("dsa"))


def test_every_stream_of_sparse_attention_over_a_link(result: ProfileResult) -> None:
    found = {(s.op, s.cache, s.ceiling) for s in result.streams}
    for cache in ("latent", "indexer"):
        assert found >= {
            ("decode_read", cache, "read"),
            ("append", cache, "copy"),
            ("block_copy", cache, "copy"),
            ("zero", cache, "write"),
            ("swap_out", cache, "device_to_host"),
            ("swap_in", cache, "host_to_device"),
        }
    assert ("sparse_read", "latent", "read") in found
    assert set(result.device.ceilings) == {"read", "write", "copy", "rmw"}
    assert result.device.own_memory
    assert set(result.device.link_ceilings) == {"device_to_host", "host_to_device"}
    # 3 layers, 3 sequences: each writes a row of 160 B and one of 64 B a step.
    assert result.step.bytes_written == 9 * (160 + 64)


def test_the_report_of_a_device_says_what_it_has(result: ProfileResult) -> None:
    device = replace(result.device, name="Some GPU", backend="cuda", cpus=(), threads=132)
    document = Document("profile", (replace(result, device=device),), ())
    head, costs, *_ = profile_sheets(document)
    rows = dict(head.rows)
    assert rows["units"] == "132 multiprocessors"
    assert "device_to_host" in rows["link"]
    assert "pinned" in rows["pages"]
    assert "huge pages" not in rows["pages"]
    assert [row[0] for row in costs.rows] == ["huge_pages", "plain"]
    assert costs.rows[0][1] == "64 MiB"


def test_what_the_cpu_does_not_have_is_not_shown(bench: Workbench, small: Callable) -> None:
    result = profiled(bench, small("gqa"), operations=frozenset({"zero"}))
    assert not result.device.own_memory
    assert result.device.link_ceilings == {}
    head, streams, *_ = profile_sheets(Document("profile", (result,), ()))
    assert "link" not in dict(head.rows)
    assert streams.title.startswith("Streams")
