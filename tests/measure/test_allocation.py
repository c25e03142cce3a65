"""What allocations cost: plausible, for every policy, and said of devices in a table."""

from __future__ import annotations

from kvprof._core import CpuBackend
from kvprof.measure.allocation import policy_costs


def test_every_policy_is_tried(backend: CpuBackend) -> None:
    costs = policy_costs(backend)
    assert [cost.policy for cost in costs] == backend.policies == ["huge_pages", "plain"]
    for cost in costs:
        assert cost.allocation_bytes == 2 * 2**20
        assert cost.asked_bytes == 32 * 2 * 2**20
        assert cost.held_bytes >= cost.asked_bytes
        assert cost.allocate_seconds > 0
        assert cost.free_seconds > 0
