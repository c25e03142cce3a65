"""Tables in a terminal that is too narrow for them: every cell is there, and whole."""

from __future__ import annotations

import pytest

from kvprof.document import Document
from kvprof.listing import architecture_rows, engine_rows, model_rows
from kvprof.model import catalogue_model
from kvprof.registry import engine
from kvprof.reports import sheets_of
from kvprof.reports.narrow import fitted
from kvprof.reports.sheet import Column, Sheet
from kvprof.reports.terminal import sheets_terminal
from kvprof.size import Request, size_model

WIDE = Sheet(
    "Bytes",
    (
        Column("model", "left"),
        Column("engine", "left"),
        Column("never"),
        *(Column(f"some_waste of number {n}") for n in range(9)),
    ),
    tuple(("llama", e, "-", *(f"{n}.25 GiB" for n in range(9))) for e in ("a", "b")),
    ("A note.",),
)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def text(sheets: list[Sheet], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    return sheets_terminal(sheets, terminal=True)


def test_a_sheet_that_fits_is_left_alone() -> None:
    assert fitted(WIDE, 400) == [WIDE]


def test_what_helps_least_is_given_up_first() -> None:
    (high,) = fitted(WIDE, 140)
    assert high.columns[3].heading == "some_\nwaste of\nnumber 0"
    assert [c.heading for c in high.columns[:3]] == ["model", "engine", "never"]
    (fewer,) = fitted(WIDE, 108)
    assert [c.heading for c in fewer.columns[:2]] == ["model", "engine"]
    assert len(fewer.columns) == 11, "a column of dashes says nothing"
    (titled,) = fitted(WIDE, 101)
    assert titled.title == "Bytes (llama)"
    assert len(titled.columns) == 10


def test_the_rest_becomes_several_tables_with_the_same_rows() -> None:
    parts = fitted(WIDE, 60)
    assert [part.columns[0].heading for part in parts] == ["engine"] * len(parts)
    cells = [row[1:] for part in parts for row in part.rows if row[0] == "a"]
    assert sum(cells, ()) == tuple(f"{n}.25 GiB" for n in range(9))
    assert [part.notes for part in parts] == [()] * (len(parts) - 1) + [("A note.",)]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(tokens=32_768, memory_bytes=80 * 2**30, max_model_len=32_768)
    placed = tuple(
        size_model(catalogue_model(model), engine(name), request)
        for model in ("deepseek-v4-flash", "gemma-3-27b", "jamba-1.5-mini")
        for name in ("logical", "paged", "vllm", "transformers")
    )
    documents = [
        Document("size", placed, ()),
        Document("architectures", tuple(architecture_rows()), ()),
        Document("engines", tuple(engine_rows()), ()),
        Document("models", tuple(model_rows()), ()),
    ]
    for document in documents:
        found = text(list(sheets_of(document)), width, monkeypatch)
        assert max(map(len, found.splitlines())) <= width, document.kind


def test_numbers_are_whole_in_every_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (40, 60, 80, 100):
        found = text([WIDE], width, monkeypatch)
        for n in range(9):
            assert found.count(f"{n}.25 GiB") == 2
