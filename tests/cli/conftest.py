"""The command line as a user has it: a process, its exit code, its stdout and its stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

_NOT_INHERITED = ("KVPROF_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONIOENCODING")


class Run(NamedTuple):
    """How a command ended and what it wrote."""

    exit_code: int
    stdout: str
    stderr: str


class Cli(NamedTuple):
    """Calls ``python -m kvprof`` in a folder of its own."""

    folder: Path
    command: tuple[str, ...] = (sys.executable, "-m", "kvprof")

    @property
    def env(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}

    def __call__(self, *arguments: object, env: dict[str, str] | None = None) -> Run:
        done = subprocess.run(
            [*self.command, *map(str, arguments)],
            cwd=self.folder,
            env=self.env | (env or {}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)


class Failed(NamedTuple):
    """Asserts that a call failed as every failure must; returns the message."""

    cli: Cli

    def __call__(
        self, exit_code: int, *arguments: object, env: dict[str, str] | None = None
    ) -> str:
        run = self.cli(*arguments, env=env)
        assert run.exit_code == exit_code, run
        assert run.stdout == ""
        assert run.stderr.startswith("kvprof: error: ")
        assert sum(line.startswith("kvprof: ") for line in run.stderr.splitlines()) == 1
        assert run.stderr.count("\n") <= 8, "a message is short"
        assert "Traceback" not in run.stderr
        assert "internal error" not in run.stderr
        return run.stderr


@pytest.fixture
def run_cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture(scope="session")
def session_cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """For fixtures that outlive a test."""
    return Cli(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def fails(run_cli: Cli) -> Failed:
    return Failed(run_cli)


@pytest.fixture(scope="session")
def validated(session_cli: Cli) -> Callable[[str], dict[str, Any]]:
    """Decode a document that must satisfy ``kvprof schema``."""
    schema = json.loads(session_cli("schema").stdout)
    validator_type = jsonschema.validators.validator_for(schema)
    validator_type.check_schema(schema)
    validator = validator_type(schema)

    def decode(text: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(text)
        validator.validate(document)
        return document

    return decode


@pytest.fixture
def results(run_cli: Cli, validated: Callable[[str], dict[str, Any]]) -> Callable[..., list[Any]]:
    """The results of a call that must succeed, in JSON that satisfies the schema."""

    def call(*arguments: object) -> list[Any]:
        run = run_cli(*arguments, "--format", "json")
        assert (run.exit_code, run.stderr) == (0, "")
        found: list[Any] = validated(run.stdout)["results"]
        return found

    return call
