"""Every operation of the GPU by every variant and policy, once each, against the CPU backend.

It is short and always the same, so that it can run under compute-sanitizer, which makes kernels
many times slower, and holds no launch back, since a tool that serialises kernels would wait for
ever. Shapes are partial, unaligned and of odd lengths, where a kernel could reach too far.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib import import_module

import numpy as np

from kvprof import _core

ROWS = ((576, 0), (656, 0), (1152, 0), (33, 0), (1000, 8), (4096, 16))
"""Bytes of a row, and where the first one lies."""
ROWS_PER_BLOCK = 16
LAYERS = 2
BLOCKS = 24
SOURCE_ROWS = 40
KINDS: tuple[_core.Ceiling, ...] = ("read", "write", "copy", "rmw")

Run = Callable[[_core.Backend, _core.Memory, str], _core.StreamResult]


class Shape:
    """Blocks of rows of one size in a memory, and the plans over them."""

    def __init__(self, row_bytes: int, base_bytes: int) -> None:
        self.row_bytes = row_bytes
        self.base_bytes = base_bytes
        self.block_bytes = ROWS_PER_BLOCK * row_bytes
        self.nbytes = base_bytes + LAYERS * BLOCKS * self.block_bytes + 64
        self.rng = np.random.default_rng(row_bytes)

    def pages(self, blocks: np.ndarray, segments: list[tuple[int, int]]) -> _core.PagePlan:
        """Whole blocks, but for the first, which starts late, and the last, which ends early."""
        runs = np.stack([blocks, np.zeros_like(blocks), np.full_like(blocks, ROWS_PER_BLOCK)], 1)
        runs[0, 1:] = 3, ROWS_PER_BLOCK - 3
        runs[-1, 2] = 5
        return _core.PagePlan(
            base_bytes=self.base_bytes,
            layer_stride_bytes=BLOCKS * self.block_bytes,
            block_stride_bytes=self.block_bytes,
            layers=LAYERS,
            segments=segments,
            runs=runs.astype(np.uint32),
        )

    def whole(self) -> _core.PagePlan:
        return self.pages(self.rng.permutation(BLOCKS), [(0, self.row_bytes)])

    def copy(self) -> _core.CopyPlan:
        order = self.rng.permutation(BLOCKS)
        half = BLOCKS // 2
        segments = [(0, self.row_bytes)]
        return _core.CopyPlan(
            self.pages(order[:half], segments), self.pages(order[half:], segments)
        )

    def slots(self) -> _core.SlotPlan:
        slots = self.rng.permutation(BLOCKS * ROWS_PER_BLOCK)[: BLOCKS * ROWS_PER_BLOCK // 2]
        slots[::7] = -1
        return _core.SlotPlan(
            base_bytes=self.base_bytes,
            layer_stride_bytes=BLOCKS * self.block_bytes,
            block_stride_bytes=self.block_bytes,
            layers=LAYERS,
            segments=[(0, self.row_bytes)],
            rows_per_block=ROWS_PER_BLOCK,
            slots=slots,
        )


def runs(shape: Shape) -> Iterator[tuple[_core.Stream, Run]]:
    """Each operation within one memory."""
    whole, other, slots, copy = shape.whole(), shape.whole(), shape.slots(), shape.copy()
    rows = shape.rng.integers(1, 255, (SOURCE_ROWS, shape.row_bytes), dtype=np.uint8)
    yield "decode_read", lambda b, m, v: b.decode_read(m, whole, v)
    yield "sparse_read", lambda b, m, v: b.sparse_read(m, whole, other, v)
    yield "append", lambda b, m, v: b.append(m, slots, rows, v)
    yield "state_update", lambda b, m, v: b.state_update(m, whole, addend=3, variant=v)
    if shape.row_bytes % 4 == 0:
        for element in ("float32", "bfloat16"):
            yield "state_update", _decay(whole, element)
    yield "block_copy", lambda b, m, v: b.block_copy(m, copy, v)
    yield "zero", lambda b, m, v: b.zero(m, whole, v)


def _decay(plan: _core.PagePlan, element: _core.Element) -> Run:
    return lambda b, m, v: b.state_update(
        m, plan, element=element, decay=0.875, input=0.125, variant=v
    )


def _bytes(memory: _core.Memory) -> bytes:
    return memory.read(0, memory.nbytes).tobytes()


class Twins:
    """A memory of the device and one of the CPU with the same bytes."""

    def __init__(self, device: _core.Backend, policy: str, nbytes: int) -> None:
        self.device = device
        self.cpu = _core.CpuBackend()
        self.here = device.allocate(nbytes, policy)
        self.there = self.cpu.allocate(nbytes)

    def refill(self) -> None:
        self.device.fill(self.here, 0, self.here.nbytes, 7, finite=True)
        self.there.write(0, _bytes(self.here))

    def check(self, what: str, run: Run, variant: str) -> None:
        """Run it on both; bytes and checksums must agree."""
        self.refill()
        found, expected = run(self.device, self.here, variant), run(self.cpu, self.there, "")
        self.compare(what, found.checksum == expected.checksum)

    def compare(self, what: str, same_checksum: bool = True) -> None:
        same = _bytes(self.here) == _bytes(self.there)
        if not (same and same_checksum and self.here.guards_intact()):
            raise SystemExit(f"{what} differs from the CPU's")


def swap(twins: Twins, shape: Shape, variant: str) -> None:
    """Out to the host and, from pages that the host had before, back."""
    twins.refill()
    plan, data = shape.copy(), shape.rng.bytes(shape.nbytes)
    hosts = [twins.device.allocate_host(shape.nbytes), twins.cpu.allocate_host(shape.nbytes)]
    for host in hosts:
        host.write(0, data)
    for backend, memory, host, name in (
        (twins.device, twins.here, hosts[0], variant),
        (twins.cpu, twins.there, hosts[1], ""),
    ):
        backend.swap(memory, host, plan, name)
        backend.swap(host, memory, plan, name)
    what = f"swap by {variant}, rows of {shape.row_bytes} B"
    twins.compare(what, _bytes(hosts[0]) == _bytes(hosts[1]))


def streams(device: _core.Backend, policy: str) -> int:
    """All of it in one policy's memory; the number of operations that were checked."""
    done = 0
    for row_bytes, base_bytes in ROWS:
        shape = Shape(row_bytes, base_bytes)
        twins = Twins(device, policy, shape.nbytes)
        for stream, run in runs(shape):
            for variant in device.variants(stream):
                twins.check(f"{stream} by {variant}, rows of {row_bytes} B", run, variant)
                done += 1
        for variant in device.variants("swap"):
            swap(twins, shape, variant)
            done += 1
        for kind in KINDS:
            for variant in device.ceiling_variants(kind):
                words = (shape.nbytes - base_bytes) // 16 * 16
                device.ceiling(twins.here, kind, variant, base_bytes, words)
                done += 1
    return done


def main() -> int:
    """Run it all; exit code 0 when everything agrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda; cpu tries the program alone")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        device: _core.Backend = _core.CpuBackend()
    else:
        device = import_module("kvprof._cuda").CudaBackend(0, blocking=False)
    for policy in device.policies:
        print(f"{policy}: {streams(device, policy)} operations agree with the CPU's", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
