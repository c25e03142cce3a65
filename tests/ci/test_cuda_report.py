"""The check of compiled kernels must be able to fail: recorded output of nvcc 13.0, also spoilt.

`recorded/kernels.*` are kernels as they should be, `spilling.*` one that holds 64 values in 32
registers and moves 4 bytes at a time. The disassembly is cut down to two of each instruction.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

RECORDED = Path(__file__).parent / "recorded"
SCRIPT = Path(__file__).parents[2] / ".ci" / "cuda_report.py"
ARCHITECTURES = (80, 90)


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cuda_report", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def log(*names: str) -> str:
    return "".join((RECORDED / f"{name}.ptxas").read_text() for name in names)


def sass(*names: str) -> str:
    return "".join((RECORDED / f"{name}.sass").read_text() for name in names)


def faults(report: ModuleType, log_text: str, sass_text: str) -> list[str]:
    used, code = report.resources(log_text), report.instructions(sass_text)
    return list(report.faults(used, code, ARCHITECTURES))


def test_kernels_as_they_should_be_pass(report: ModuleType) -> None:
    assert faults(report, log("kernels"), sass("kernels")) == []


def test_a_kernel_that_spills_is_named_with_its_numbers(report: ModuleType) -> None:
    found = faults(report, log("kernels", "spilling"), sass("kernels", "spilling"))
    assert len([line for line in found if "stack frame" in line]) == 2  # on two architectures
    spilt = next(line for line in found if "on sm_90: " in line)
    assert "copy_spilling" in spilt
    assert "744 bytes of stack frame, 792 of spill stores, 892 of spill loads" in spilt


def test_a_kernel_that_moves_four_bytes_at_a_time_fails_beside_one_that_does_not(
    report: ModuleType,
) -> None:
    found = faults(report, log("kernels", "spilling"), sass("kernels", "spilling"))
    wide = [line for line in found if "128-bit" in line]
    assert len(wide) == 4  # loads and stores, on two architectures
    assert all("copy_spilling" in line for line in wide)


@pytest.mark.parametrize(
    ("kernel", "wide", "narrow"),
    [
        ("read_vector", "LDG.E.NA.LTC256B.128.CONSTANT", "LDG.E.NA.LTC256B.64.CONSTANT"),
        ("update_float32", "LDG.E.128", "LDG.E.64"),
        ("update_float32", "STG.E.128", "STG.E.64"),
        ("copy_pages", "LDG.E.EF.128", "LDG.E.EF.64"),
        ("zero_pages", "STG.E.128", "STG.E"),
        ("fill_words", "STG.E.128", "STG.E.64"),
        ("write_ceiling", "STG.E.128", "STG.E.64"),
        ("read_bulk", "UBLKCP.S.G", "LDG.E.128"),
    ],
)
def test_each_kernel_must_have_its_own_wide_instructions(
    report: ModuleType, kernel: str, wide: str, narrow: str
) -> None:
    parts = sass("kernels").split("Function : ")
    spoilt = [
        part.replace(wide, narrow) if kernel in part.split("\n")[0] else part for part in parts
    ]
    assert spoilt != parts
    found = faults(report, log("kernels"), "Function : ".join(spoilt))
    assert found
    assert all(kernel in line and " has no " in line for line in found)


@pytest.mark.parametrize("kernel", ["read_bulk", "timestamps", "update_float32"])
def test_a_kernel_that_is_not_there_is_missed(report: ModuleType, kernel: str) -> None:
    log_text = log("kernels").replace(kernel, kernel[::-1])
    sass_text = sass("kernels").replace(kernel, kernel[::-1])
    found = faults(report, log_text, sass_text)
    assert found
    assert all(line.startswith("no kernel ") and kernel[:6] in line for line in found)


def test_an_architecture_that_was_not_compiled_is_missed(report: ModuleType) -> None:
    used, code = report.resources(log("kernels")), report.instructions(sass("kernels"))
    found = list(report.faults(used, code, (*ARCHITECTURES, 100)))
    assert len(found) == len(report.FAMILIES)
    assert all("on sm_100" in line for line in found)


def test_a_kernel_in_one_report_only_is_told(report: ModuleType) -> None:
    found = faults(report, log("kernels", "spilling"), sass("kernels"))
    assert sum("not in the disassembly" in line for line in found) == 2
    found = faults(report, log("kernels"), sass("kernels", "spilling"))
    assert sum("not in the resource report" in line for line in found) == 2


def test_bulk_copies_are_not_expected_before_sm_90(report: ModuleType) -> None:
    code = report.instructions(sass("kernels"))
    bulk = {arch: found.bulk_copies for (arch, name), found in code.items() if "bulk" in name}
    assert bulk == {"sm_80": 0, "sm_90": 1}


def test_registers_and_shared_memory_are_read(report: ModuleType) -> None:
    used = report.resources(log("kernels"))
    found = {
        (arch, report.function_name(name)): (one.registers, one.shared_bytes)
        for (arch, name), one in used.items()
    }
    assert found["sm_90", "read_bulk"] == (8, 8200)
    assert found["sm_80", "timestamps"] == (8, 0)


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        ("_ZN6kvprof13copy_spillingEPjPKji", "copy_spilling"),
        # The file is read_vector.cu: its name is part of the anonymous namespace's.
        ("_ZN6kvprof47_GLOBAL__N__0b76a410_14_read_vector_cu_92b687749read_bulkEPKc", "read_bulk"),
        ("_ZN6kvprof4cuda11read_vectorINS0_5ShapeILi8ELi1EEEEEvT_", "read_vector"),
        ("_Z10timestampsPy", "timestamps"),
    ],
)
def test_the_name_of_a_function_is_the_last_of_its_mangled_name(
    report: ModuleType, mangled: str, name: str
) -> None:
    assert report.function_name(mangled) == name
