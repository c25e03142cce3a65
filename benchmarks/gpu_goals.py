"""Figures of ``gpu.py`` in, the goals beside what was measured out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gpu_profiles import GOAL_ARCH

from kvprof.units import format_bytes, format_seconds

READ_GOALS = {1024: 0.85, 4096: 0.92, 16384: 0.97, 65536: 0.97, 262144: 0.97}
DATASHEET_GOAL = 0.93
UPDATE_GOAL = 0.97
APPEND_GOAL = 0.90
TAKE_GOAL = 1.5
SWAP_GOALS = {65536: 0.95}
PER_BLOCK_GOALS = {4096: 4.0}
PROFILE_GOAL_SECONDS = 15.0

Goal = tuple[str, str, str, str]
"""What, the goal, what was measured, whether it is met."""


def goals(figures: dict[str, Any]) -> Iterator[Goal]:
    """A line for each goal whose section was measured.

    None is met at a smaller scale, or on an emulated device.
    """
    emulated = figures["device"]["emulated"]
    for section, found in _SECTIONS.items():
        if section in figures:
            full = figures["measured"][section]["scale"] >= 1 and not emulated
            for what, goal, measured, met in found(figures):
                yield what, goal, measured, met if full else "does not count"


def _reads(figures: dict[str, Any]) -> Iterator[Goal]:
    for row in figures["reads"]:
        if row["run_bytes"] in READ_GOALS and row["order"] == "shuffled":
            what = f"read of {_pages(row)}, of the read ceiling"
            yield _ratio(what, READ_GOALS[row["run_bytes"]], row)


def _updates(figures: dict[str, Any]) -> Iterator[Goal]:
    for row in figures["updates"]:
        size = format_bytes(row["run_bytes"])
        what = f"{row['op']} of {size} ({row['policy']}), of the rmw ceiling"
        yield _ratio(what, UPDATE_GOAL, row)


def _appends(figures: dict[str, Any]) -> Iterator[Goal]:
    for row in figures["append"]:
        size, run = format_bytes(row["launch_bytes"]), format_bytes(row["run_bytes"])
        what = (
            f"append, {row['order']}, {size} of {run} rows ({row['policy']}), of the copy ceiling"
        )
        yield _ratio(what, APPEND_GOAL, row)


def _gathers(figures: dict[str, Any]) -> Iterator[Goal]:
    for row in figures["copies"]:
        if row["op"] == "gather":
            yield _gather(row)


def _swaps(figures: dict[str, Any]) -> Iterator[Goal]:
    for row in figures["swaps"]:
        yield from _swap(row)


def _profiles(figures: dict[str, Any]) -> Iterator[Goal]:
    found = next((row for row in figures["profiles"] if row["arch"] == GOAL_ARCH), None)
    if found is None or "failed" in found:
        return
    what = f"kvprof profile --arch {found['arch']}, by the wall clock"
    met = _met(found["seconds"] <= PROFILE_GOAL_SECONDS)
    yield what, f"{PROFILE_GOAL_SECONDS:g} s", format_seconds(found["seconds"]), met


def _datasheet(figures: dict[str, Any]) -> Iterator[Goal]:
    promised = figures["device"]["datasheet_bytes_per_s"]
    what = "contiguous read, of the datasheet"
    if promised is None:
        yield what, f"{DATASHEET_GOAL}", "the datasheet of this device is not known", "-"
        return
    for policy, found in figures["ceilings"].items():
        ratio = next(iter(found["bytes_per_s"]["read"].values())) / promised
        met = _met(ratio >= DATASHEET_GOAL)
        yield f"{what} ({policy})", f"{DATASHEET_GOAL}", f"{ratio:.3f}", met


def _gather(row: dict[str, Any]) -> Goal:
    what = f"gather of {_pages(row)}, of cupy.take"
    if not row["against"]:
        return what, f"{TAKE_GOAL}", row["cupy"], "-"
    return _ratio(f"{what} ({row['cupy']})", TAKE_GOAL, row["against"][row["cupy"]])


def _swap(row: dict[str, Any]) -> Iterator[Goal]:
    size = row["run_bytes"]
    what = f"{row['op']} of {_pages(row)} by {row['variant']}"
    if size in SWAP_GOALS:
        yield _ratio(f"{what}, of the link's ceiling", SWAP_GOALS[size], row)
    if size in PER_BLOCK_GOALS:
        found = row["times_per_block"]
        if found is None:
            yield f"{what}, of per_block", f"{PER_BLOCK_GOALS[size]:g}", "no faster variant", "-"
        else:
            yield _ratio(f"{what}, of per_block", PER_BLOCK_GOALS[size], found)


def _pages(row: dict[str, Any]) -> str:
    return f"{format_bytes(row['run_bytes'])} pages ({row['policy']})"


def _ratio(what: str, goal: float, found: dict[str, Any]) -> Goal:
    noisy = ", noisy" if found["noisy"] else ""
    met = _met(found["ratio"] >= goal) + noisy
    return what, f"{goal:g}", f"{found['ratio']:.3f}", met


def _met(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


_SECTIONS: dict[str, Callable[[dict[str, Any]], Iterator[Goal]]] = {
    "ceilings": _datasheet,
    "reads": _reads,
    "updates": _updates,
    "append": _appends,
    "copies": _gathers,
    "swaps": _swaps,
    "profiles": _profiles,
}
