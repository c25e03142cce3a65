"""What nvcc made of the kernels: resource report and disassembly in, a table and faults out.

``nvcc -Xptxas -v`` says what a kernel spills; ``cuobjdump -sass`` how wide it really loads and
stores. A kernel that spills, or moves 4 bytes where 16 were meant, still gives right answers.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROPERTIES = re.compile(r"Function properties for (\S+)")
_ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(sm_\w+)'")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")

_CODE = re.compile(r"\s*code for (sm_\w+)")
_FUNCTION = re.compile(r"\s*Function : (\S+)")
_INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")

Key = tuple[str, str]
"""An architecture and a mangled name."""


@dataclass
class Resources:
    """What ptxas says of one function; no registers for one that kernels call."""

    stack_bytes: int = 0
    spill_store_bytes: int = 0
    spill_load_bytes: int = 0
    registers: int | None = None
    shared_bytes: int = 0

    @property
    def spills(self) -> bool:
        return any((self.stack_bytes, self.spill_store_bytes, self.spill_load_bytes))


@dataclass
class Instructions:
    """Global accesses of 16 bytes and more, and bulk copies, in one kernel."""

    wide_loads: int = 0
    wide_stores: int = 0
    bulk_copies: int = 0

    def count(self, opcode: str) -> None:
        name, *modifiers = opcode.split(".")
        wide = "128" in modifiers or "256" in modifiers
        self.wide_loads += name == "LDG" and wide
        self.wide_stores += name == "STG" and wide
        self.bulk_copies += name == "UBLKCP"


@dataclass(frozen=True)
class Family:
    """Kernels by what their name begins with, and the instructions that each of them must have."""

    prefixes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    since: int = 0
    """The first architecture that can have them; older ones compile an empty body."""


FAMILIES = (
    Family(("read_vector",), ("wide_loads",)),
    Family(("read_bulk",), ("bulk_copies",), since=90),
    Family(("update_",), ("wide_loads", "wide_stores")),
    Family(("copy_",), ("wide_loads", "wide_stores")),
    Family(("write_", "zero_"), ("wide_stores",)),
    Family(("fill_",), ("wide_stores",)),
    Family(("block_stream",)),
    Family(("timestamps",)),
)
_IN_WORDS = {
    "wide_loads": "128-bit global load (LDG.E.128)",
    "wide_stores": "128-bit global store (STG.E.128)",
    "bulk_copies": "bulk copy (UBLKCP)",
}


def resources(log: str) -> dict[Key, Resources]:
    """Every function in the output of ``nvcc -Xptxas -v``."""
    found: dict[Key, Resources] = {}
    architecture, entry, current = "", "", Resources()
    for line in log.splitlines():
        if match := _ENTRY.search(line):
            entry, architecture = match[1], match[2]
        elif match := _PROPERTIES.search(line):
            current = found.setdefault((architecture, match[1]), Resources())
        elif match := _FRAME.search(line):
            current.stack_bytes, current.spill_store_bytes, current.spill_load_bytes = map(
                int, match.groups()
            )
        elif match := _USED.search(line):
            of_entry = found.setdefault((architecture, entry), Resources())
            of_entry.registers = int(match[1])
            shared = _SHARED.search(line)
            of_entry.shared_bytes = int(shared[1]) if shared else 0
    return found


def instructions(sass: str) -> dict[Key, Instructions]:
    """Every kernel in the output of ``cuobjdump -sass``."""
    found: dict[Key, Instructions] = {}
    architecture, current = "", Instructions()
    for line in sass.splitlines():
        if match := _INSTRUCTION.match(line):
            current.count(match[1])
        elif match := _CODE.match(line):
            architecture = match[1]
        elif match := _FUNCTION.match(line):
            current = found.setdefault((architecture, match[1]), Instructions())
    return found


def function_name(mangled: str) -> str:
    """``read_vector`` of ``_ZN6kvprof...11read_vectorILi8EEEvPKc``.

    The name of the source file is mangled into an anonymous namespace, so a search for the name of
    a kernel would find its neighbours too.
    """
    rest = mangled.removeprefix("_Z").removeprefix("N")
    name = mangled
    while match := re.match(r"\d+", rest):
        length, rest = int(match[0]), rest[match.end() :]
        name, rest = rest[:length], rest[length:]
    return name


def faults(
    used: dict[Key, Resources], code: dict[Key, Instructions], architectures: Iterable[int]
) -> Iterator[str]:
    """What is wrong, one line each; nothing when all is as it should be."""
    for (architecture, mangled), found in used.items():
        if found.spills:
            yield (
                f"{demangled(mangled)} on {architecture}: {found.stack_bytes} bytes of stack frame,"
                f" {found.spill_store_bytes} of spill stores, {found.spill_load_bytes} of spill"
                " loads; none of either is allowed"
            )
    kernels = {key for key, found in used.items() if found.registers is not None}
    for architecture, mangled in sorted(kernels ^ code.keys()):
        where = "disassembly" if (architecture, mangled) in kernels else "resource report"
        yield f"{demangled(mangled)} on {architecture} is not in the {where}"
    for number in architectures:
        for family in FAMILIES:
            if number >= family.since:
                yield from _family_faults(family, code, f"sm_{number}")


def _family_faults(
    family: Family, code: dict[Key, Instructions], architecture: str
) -> Iterator[str]:
    members = {
        mangled: found
        for (its, mangled), found in code.items()
        if its == architecture and function_name(mangled).startswith(family.prefixes)
    }
    if not members:
        yield f"no kernel {' or '.join(f'{p}*' for p in family.prefixes)} on {architecture}"
    for mangled, found in members.items():
        for need in family.needs:
            if not getattr(found, need):
                yield f"{demangled(mangled)} on {architecture} has no {_IN_WORDS[need]}"


def table(
    used: dict[Key, Resources], code: dict[Key, Instructions], architectures: Iterable[int]
) -> Iterator[str]:
    """A line for each kernel: registers, static shared memory, and its instructions, by device."""
    names = [f"sm_{number}" for number in architectures]
    kernels = dict.fromkeys(mangled for _, mangled in code)
    yield "registers, bytes of static shared memory, wide loads / wide stores / bulk copies"
    yield "".join(f"{name:<22}" for name in names) + "kernel"
    for mangled in sorted(kernels, key=demangled):
        cells = (_cell(used.get((name, mangled)), code.get((name, mangled))) for name in names)
        yield "".join(f"{cell:<22}" for cell in cells) + demangled(mangled)


def _cell(used: Resources | None, code: Instructions | None) -> str:
    if used is None or code is None:
        return "-"
    counts = f"{code.wide_loads}/{code.wide_stores}/{code.bulk_copies}"
    return f"{used.registers} r {used.shared_bytes} B {counts}"


_demangled: dict[str, str] = {}


def demangled(mangled: str) -> str:
    """``read_vector<8>``: no namespaces, no parameters. Without c++filt it stays as it is."""
    if mangled not in _demangled:
        _demangled[mangled] = _filtered(mangled)
    return _demangled[mangled]


def _filtered(mangled: str) -> str:
    filt = shutil.which("c++filt")
    if filt is None:
        return mangled
    done = subprocess.run([filt, "-p", mangled], capture_output=True, text=True, check=True)
    text = done.stdout.strip().replace("(anonymous namespace)::", "")
    return re.sub(r"\b\w+::", "", text).removeprefix("void ").replace("> >", ">>")


def main() -> int:
    """Print the table and the faults; 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, help="output of nvcc -Xptxas -v")
    parser.add_argument("sass", type=Path, help="output of cuobjdump -sass")
    parser.add_argument("architectures", type=int, nargs="+", help="80 90 100")
    arguments = parser.parse_args()
    used = resources(arguments.log.read_text())
    code = instructions(arguments.sass.read_text())
    sys.stdout.writelines(f"{line}\n" for line in table(used, code, arguments.architectures))
    wrong = list(faults(used, code, arguments.architectures))
    sys.stdout.writelines(f"FAULT: {line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
