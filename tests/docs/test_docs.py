"""The documentation against the program: commands, links, flags, fields, code."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import pytest
from kvprof.plugins.engines.transformers_families import FAMILIES

from kvprof.commands import VERBS, Session, kvprof
from kvprof.config_file import LANGUAGE_SECTIONS
from kvprof.document import RESULT_KINDS, result_types
from kvprof.dtypes import CACHE_DTYPES
from kvprof.layer_kinds import ONLY_FIELDS
from kvprof.layer_words import KIND_WORDS
from kvprof.plan import POOL_SHARES, REQUEST_WASTES
from kvprof.registry import registry
from kvprof.spellings import SPELLINGS
from kvprof.workload.formats import FORMATS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
RUN_VERBS = ("size", "replay", "solve", "list", "check", "doctor", "schema")
FEW_BYTES_AND_SECONDS = ("--stream-memory", "300MiB", "--time-budget", "1")

_BLOCK = re.compile(r"^```(\w+)[ ]?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
_CODE = re.compile(r"`([^`\n]+)`")

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


class Block(NamedTuple):
    """A fenced block: its language, the file that it should be saved as, if any, its text."""

    language: str
    file: str
    text: str


def blocks(path: Path) -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall(path.read_text(encoding="utf-8"))]


def saved_files(folder: Path, *pages: Path) -> None:
    """Write the blocks that the text says to save."""
    for block in itertools.chain.from_iterable(blocks(path) for path in pages):
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")


class Call(NamedTuple):
    """A ``kvprof VERB`` that a reader is shown: its arguments, and the lines below it."""

    words: list[str]
    shown: list[str]


def commands(path: Path) -> Iterator[Call]:
    """Every call of a page, in order; of ``sh`` each line is one, of ``console`` those at a $."""
    for block in blocks(path):
        lines = block.text.replace("\\\n", " ")
        if block.language == "console":
            prompts = [prompt.splitlines() for prompt in re.split(r"^\$ ", lines, flags=re.M)[1:]]
        elif block.language == "sh":
            prompts = [[line] for line in lines.splitlines()]
        else:
            continue
        for line, *shown in prompts:
            for words in _calls(line):
                call = list(itertools.dropwhile(re.compile(r"\w+=").match, words))
                if call[:1] == ["kvprof"] and call[1:2] and call[1] in VERBS:
                    yield Call(call[1:], shown)


def _calls(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, without what it is piped into."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's plugin as pip would leave it: its module beside its metadata."""
    folder = tmp_path_factory.mktemp("tutorial")
    saved_files(folder, ROOT / "docs" / "plugins.md")
    source = folder / "kvprof-yoco" / "src"
    project = (folder / "kvprof-yoco" / "pyproject.toml").read_text(encoding="utf-8")
    (entry_point,) = re.findall(r"\[project\.entry-points\.kvprof\]\n(.*)\n", project)
    metadata = source / "kvprof_yoco-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kvprof-yoco\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[kvprof]\n{entry_point.replace(chr(34), '')}\n")
    return source


def run(*arguments: str, cwd: Path, beside: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the tutorial's plugin installed."""
    path = os.pathsep.join(filter(None, [str(beside), os.environ.get("PYTHONPATH")]))
    inherited = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=inherited | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def verb(name: str) -> click.Command:
    found = kvprof.get_command(click.Context(kvprof), name)
    assert found is not None
    return found


@page
def test_commands_run_and_print_what_is_shown(path, tmp_path, tutorial):
    """A line of ``...`` stands for any lines, ``...`` at the end of a line for the rest of it."""
    saved_files(tmp_path, path)
    for words, shown in commands(path):
        if words[0] not in RUN_VERBS:
            continue
        done = run("-m", "kvprof", *words, cwd=tmp_path, beside=tutorial)
        assert done.returncode == 0, f"kvprof {shlex.join(words)}\n{done.stderr}"
        if words[0] == "doctor":  # of the machine that the page was written on
            continue
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        for line in shown:
            start, cut, _ = line.rstrip().partition(" ...")
            whole = start in printed or line.strip() in ("", "...")
            assert whole or (cut and any(p.startswith(start) for p in printed)), (
                f"kvprof {shlex.join(words)} does not print this any more:\n{line}"
            )


@page
def test_profile_commands_parse(path):
    for words, _ in commands(path):
        if words[0] == "profile":
            verb("profile").make_context("profile", words[1:], obj=Session())


def test_a_profile_shows_what_getting_started_explains(tmp_path, tutorial):
    text = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    words = ("profile", "--arch", "mla", *FEW_BYTES_AND_SECONDS)
    done = run("-m", "kvprof", *words, cwd=tmp_path, beside=tutorial)
    assert done.returncode == 0, done.stderr
    shown = [line.split("  ")[0] for line in done.stdout.splitlines()]
    headings = [line for line in shown if line[:1].isalpha() and "Capacity" not in line]
    labels = [line.split()[0] for line in done.stdout.splitlines() if re.match(r" [a-z]", line)]
    assert len(headings) >= 3
    assert "ceilings" in labels
    for line in [*headings, *labels]:
        assert line in text


def test_the_tutorial_s_plugin_passes_its_own_tests(tutorial):
    folder = tutorial.parent
    options = ("-q", "-p", "no:cacheprovider", "--rootdir", str(folder))
    done = run("-m", "pytest", *options, "tests", cwd=folder, beside=tutorial)
    assert done.returncode == 0, done.stdout + done.stderr


@page
def test_python_examples_run(path, tmp_path, tutorial):
    saved_files(tmp_path, *PAGES)
    for block in blocks(path):
        # Some read a profile that was written before; those with a file are the tutorial's.
        if block.language == "python" and not block.file and "profile.json" not in block.text:
            done = run("-c", block.text, cwd=tmp_path, beside=tutorial)
            assert done.returncode == 0, f"{block.text}\n{done.stderr}"
            if done.stdout:
                assert done.stdout in path.read_text(encoding="utf-8")


@page
def test_linked_files_and_headings_exist(path):
    text = path.read_text(encoding="utf-8")
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, heading = link.partition("#")
        target = (path.parent / file) if file else path
        assert target.exists(), f"{path.name} links to {link}"
        if heading:
            assert heading in anchors(target), f"{path.name} links to {link}"


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def documented_flags() -> dict[str, set[str]]:
    """The flags of each verb by the table of options."""
    flags: dict[str, set[str]] = {name: set() for name in VERBS}
    table = REFERENCE.partition("## Options")[2].partition("## Units")[0]
    for cell, verbs in re.findall(r"^\| (`-[^|]+) \| ([a-z, ]+) \|", table, re.MULTILINE):
        for name in verbs.split(", "):
            flags[name] |= set(_FLAG.findall(cell))
    return flags


@pytest.mark.parametrize("name", VERBS)
def test_the_reference_has_the_flags_of_help(name, tmp_path):
    shown = run("-m", "kvprof", name, "--help", cwd=tmp_path, beside=tmp_path).stdout
    lines = re.findall(r"^  (-.*)", shown.partition("Options:")[2], re.MULTILINE)
    flags = {flag for line in lines for flag in _FLAG.findall(line.split("  ")[0])}
    assert documented_flags()[name] == flags


@page
def test_every_flag_named_exists(path):
    known = {"--version"}.union(*documented_flags().values())
    codes = _CODE.findall(path.read_text(encoding="utf-8"))
    ours = " ".join(code for code in codes if code.startswith(("--", "kvprof ")))
    assert set(_FLAG.findall(ours)) <= known


def documented(*names: str) -> list[str]:
    """Those of the names that the reference does not have as code."""
    words = {w for code in _CODE.findall(REFERENCE) for w in re.split(r"[.,\[\] \\|]+", code)}
    return [name for name in names if name not in words]


def test_the_reference_has_every_field_of_every_document():
    fields = set()
    waiting = [type_ for kind in RESULT_KINDS for type_ in result_types(kind)]
    while waiting:
        for field in msgspec.structs.fields(waiting.pop()):
            fields.add(field.name)
            inner = (field.type, *getattr(field.type, "__args__", ()))
            waiting += [t for t in inner if isinstance(t, type) and issubclass(t, msgspec.Struct)]
    assert documented(*sorted(fields)) == []


def test_the_reference_has_every_name_and_spelling():
    spellings = [name.split(".")[-1] for names in SPELLINGS.values() for name in names]
    words = [word for word in KIND_WORDS if word.isalpha()]
    names = [*REQUEST_WASTES, *POOL_SHARES, *LANGUAGE_SECTIONS, *CACHE_DTYPES, *FORMATS]
    only = [name for names in ONLY_FIELDS.values() for name in names]
    assert documented(*names, *spellings, *words, *only) == []


def test_the_reference_has_every_family_that_transformers_treats_apart():
    assert documented(*FAMILIES) == []


def test_the_reference_has_every_architecture_and_the_model_types_that_it_reads():
    for name, offered in registry().architectures.items():
        if not offered.origin.builtin:
            continue
        start = f"| `{name}` | {offered.what.summary} | `{offered.what.reference}` | "
        (row,) = [line for line in REFERENCE.splitlines() if line.startswith(start)]
        types = {f"`{model_type}`" for model_type in offered.what.model_types}
        assert set(row.split(" | ")[-1].strip(" |").split(", ")) == types
