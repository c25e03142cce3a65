"""Fresh virtual environments with third-party plugins really installed in them, built once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]
DISTRIBUTIONS = {
    "example": TESTS / "example_plugin",
    "broken": TESTS / "broken_plugin",
    "rival": Path(__file__).parent / "rival_plugin",
}


class Run(NamedTuple):
    """How a command ended and what it wrote."""

    exit_code: int
    stdout: str
    stderr: str


class Environment(NamedTuple):
    """A virtual environment, and the copies of the distributions that it was built from."""

    python: Path
    sources: dict[str, Path]

    def run(self, *arguments: object, cwd: Path | None = None, **env: str) -> Run:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("KVPROF_", "PYTEST_"))}
        done = subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=cwd or self.python.parent,
            env=clean | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def kvprof(self, *arguments: object, **env: str) -> Run:
        return self.run("-m", "kvprof", *arguments, **env)


@pytest.fixture(scope="session")
def build_environment(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Environment]:
    """Make an environment that sees kvprof, and install distributions in it."""

    def build(*names: str) -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        venv.EnvBuilder(symlinks=True).create(folder / "venv")
        python = folder / "venv" / "bin" / "python"
        site_packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
        ours = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
        # addsitedir, and not a bare path, so that an editable kvprof is found as well.
        lines = [f"import site; site.addsitedir({path!r})" for path in ours]
        (site_packages / "kvprof_under_test.pth").write_text("\n".join(lines) + "\n")
        sources = {name: folder / name for name in names}
        for name, source in sources.items():
            shutil.copytree(DISTRIBUTIONS[name], source)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        offline = ["--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run([*pip, *offline, *map(str, sources.values())], check=True)
        return Environment(python, sources)

    return build


@pytest.fixture(scope="session")
def example(build_environment: Callable[..., Environment]) -> Environment:
    return build_environment("example")


@pytest.fixture(scope="session")
def rival(build_environment: Callable[..., Environment]) -> Environment:
    return build_environment("example", "rival")


@pytest.fixture(scope="session")
def broken(build_environment: Callable[..., Environment]) -> Environment:
    return build_environment("example", "broken")
