"""What allocations cost: plausible, for every policy, and said of devices in a table."""

from __future__ import annotations

from typing import Any

import pytest

from kvprof._core import CpuBackend
from kvprof.errors import DeviceError
from kvprof.measure.allocation import policy_costs


def test_every_policy_is_tried(backend: CpuBackend) -> None:
    costs = policy_costs(backend)
    assert [cost.policy for cost in costs] == backend.policies == ["huge_pages", "plain"]
    for cost in costs:
        assert cost.asked_bytes == 32 * 2 * 2**20
        assert cost.held_bytes >= cost.asked_bytes
        assert cost.allocate_seconds > 0
        assert cost.free_seconds > 0


def test_a_device_without_room_is_explained(backend: CpuBackend) -> None:
    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(backend, name)

        def allocation_cost(self, nbytes: int, count: int, policy: str) -> None:
            raise MemoryError(f"{nbytes * count} bytes cannot be allocated")

    with pytest.raises(DeviceError, match=r"67108864 bytes cannot be allocated; .* free now"):
        policy_costs(Full())  # type: ignore[arg-type]
