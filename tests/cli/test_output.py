"""Where a result goes and how it looks: ``--format``, ``-o``, colours, pipes."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import stat
import subprocess

import pytest

LISTING = ("list", "engines")
VERBS = {
    "size": ("size", "--arch", "mla,sliding,ssm", "--engine", "logical,paged", "--tokens", "1,9k"),
    "architectures": ("list", "architectures"),
    "engines": ("list", "engines"),
    "devices": ("list", "devices"),
    "models": ("list", "models"),
    "check": ("check", "mla", "mha"),
    "doctor": ("doctor",),
}
"""A call of each kind of document that touches no memory."""


@pytest.mark.parametrize("kind", VERBS)
def test_json(run_cli, validated, kind):
    run = run_cli(*VERBS[kind], "--format", "json")
    assert (run.exit_code, run.stderr) == (0, "")
    document = validated(run.stdout)
    assert document["kind"] == kind
    assert document["results"]
    assert run.stdout.endswith("}\n")


@pytest.mark.parametrize("kind", VERBS)
def test_table(run_cli, kind):
    run = run_cli(*VERBS[kind])
    assert (run.exit_code, run.stderr) == (0, "")
    again = run_cli(*VERBS[kind], "--format", "table")
    assert again.exit_code == 0
    if kind not in ("devices", "doctor"):  # how much memory is free may differ by then
        assert run.stdout == again.stdout
    assert "\x1b" not in run.stdout
    assert all(line == line.rstrip() for line in run.stdout.splitlines())


@pytest.mark.parametrize("kind", VERBS)
def test_csv(run_cli, kind):
    run = run_cli(*VERBS[kind], "--format", "csv")
    assert (run.exit_code, run.stderr) == (0, "")
    header, *rows = csv.reader(io.StringIO(run.stdout))
    assert len(set(header)) == len(header)
    assert {len(row) for row in rows} == {len(header)}
    found = json.loads(run_cli(*VERBS[kind], "--format", "json").stdout)["results"]
    assert len(rows) == len(found)


def test_csv_has_the_exact_numbers(run_cli):
    run = run_cli("size", "--model", "deepseek-v3", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(run.stdout))
    assert (row["model.name"], row["bytes.logical"]) == ("deepseek-v3", "287834112")


@pytest.mark.parametrize("kind", VERBS)
def test_markdown(run_cli, kind):
    run = run_cli(*VERBS[kind], "--format", "markdown")
    assert (run.exit_code, run.stderr) == (0, "")
    tables = [line for line in run.stdout.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    rules = [i for i, line in enumerate(tables) if set(line) <= set("|-: ")]
    assert rules
    for rule in rules:
        assert tables[rule].count("|") == tables[rule - 1].count("|")


def test_table_says_what_json_says(run_cli):
    run = run_cli("size", "--model", "gpt2-xl,deepseek-v3", "--tokens", "4k")
    assert "300 KiB" in run.stdout  # 307,200 B per token
    assert "68.6 KiB" in run.stdout  # 70,272
    assert "1.17 GiB" in run.stdout  # 1,258,291,200


def test_output_file(run_cli, validated, tmp_path):
    run = run_cli(*LISTING, "--format", "json", "-o", "out.json")
    assert run == (0, "", "Wrote out.json\n")
    assert validated((tmp_path / "out.json").read_text())["kind"] == "engines"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_dash_is_stdout(run_cli, tmp_path):
    assert run_cli(*LISTING, "-o", "-") == run_cli(*LISTING)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [*VERBS.values(), ("schema",)], ids=" ".join)
def test_existing_file_needs_force(run_cli, fails, tmp_path, verb):
    out = tmp_path / "out"
    out.write_text("precious")
    message = fails(2, *verb, "-o", "out")
    assert "out" in message
    assert "--force" in message
    assert out.read_text() == "precious"
    run = run_cli(*verb, "-o", "out", "--force")
    assert (run.exit_code, run.stdout, run.stderr) == (0, "", "Wrote out\n")
    assert "precious" not in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_an_existing_file_as_it_was(fails, tmp_path):
    (tmp_path / "out").write_text("precious")
    fails(2, "size", "--arch", "nope", "-o", "out", "--force")
    assert (tmp_path / "out").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("path", ["folder", "missing/out", "folder/../missing/out", "n" * 300])
def test_paths_that_cannot_be_written(fails, tmp_path, path):
    (tmp_path / "folder").mkdir()
    message = fails(2, *LISTING, "-o", path, "--force")
    assert "-o " in message
    assert [file.name for file in tmp_path.rglob("*")] == ["folder"]


def test_a_folder_that_cannot_be_written_to(fails, tmp_path):
    if os.geteuid() == 0:
        # Nothing is closed to root but what the kernel itself refuses.
        assert "/proc/out" in fails(2, *LISTING, "-o", "/proc/out")
        return
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "Permission denied" in fails(2, *LISTING, "-o", "closed/out")


@pytest.mark.parametrize("arguments", [(), ("-o", "/dev/full")])
def test_a_full_disk(run_cli, arguments):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [*run_cli.command, "list", "models", *arguments],
            env=run_cli.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("kvprof: error: cannot write ")
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_is_written_to_and_not_replaced(run_cli):
    run = run_cli(*LISTING, "-o", "/dev/stdout", "--format", "json")
    assert (run.exit_code, run.stderr) == (0, "")
    assert json.loads(run.stdout)["kind"] == "engines"
    assert run_cli(*LISTING, "-o", "/dev/null") == (0, "", "")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o007])
def test_file_mode_honours_umask(run_cli, tmp_path, umask):
    done = subprocess.run(
        [*run_cli.command, *LISTING, "-o", "out"],
        cwd=tmp_path,
        env=run_cli.env,
        umask=umask,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o666 & ~umask


def on_terminal(cli, *arguments, **env):
    """What a call shows when its stdout is a terminal."""
    terminal, stdout = pty.openpty()
    with subprocess.Popen(
        [*cli.command, *arguments], env=cli.env | {"TERM": "xterm"} | env, stdout=stdout
    ) as process:
        os.close(stdout)
        shown = b""
        try:
            while chunk := os.read(terminal, 65_536):
                shown += chunk
        except OSError:  # how Linux says that nobody holds the terminal open any more
            pass
    os.close(terminal)
    assert process.returncode == 0
    return shown.decode()


def test_colours_on_a_terminal_only(run_cli):
    assert "\x1b[" in on_terminal(run_cli, *LISTING)
    assert "\x1b[" not in run_cli(*LISTING).stdout


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}], ids=str
)
def test_no_colour(run_cli, env):
    assert "\x1b[" not in on_terminal(run_cli, *LISTING, **env)


def test_forced_colour(run_cli):
    assert "\x1b[" in run_cli(*LISTING, env={"FORCE_COLOR": "1"}).stdout
    both = run_cli(*LISTING, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    assert both == run_cli(*LISTING).stdout
    assert "\x1b[" in run_cli(*LISTING, env={"FORCE_COLOR": "1", "NO_COLOR": ""}).stdout


@pytest.mark.parametrize("format_", ["json", "csv", "markdown"])
def test_forced_colour_is_for_tables_only(run_cli, format_):
    run = run_cli(*LISTING, "--format", format_, env={"FORCE_COLOR": "1"})
    assert "\x1b" not in run.stdout


@pytest.mark.parametrize("verb", [("list", "models", "--format", "json"), ("schema",)])
def test_a_reader_that_goes_away_is_no_error(run_cli, verb):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*run_cli.command, *verb],
        env=run_cli.env,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_stdout_that_is_closed(run_cli):
    shell = f'exec "{run_cli.command[0]}" -m kvprof list engines >&-'
    done = subprocess.run(
        ["sh", "-c", shell], env=run_cli.env, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("kvprof: error: stdout is closed\n")


def test_a_locale_without_lines_still_gets_its_table(run_cli):
    run = run_cli(*LISTING, env={"PYTHONIOENCODING": "ascii"})
    assert (run.exit_code, run.stderr) == (0, "")
    assert "paged" in run.stdout


def test_what_a_link_points_to_is_replaced_and_not_the_link(run_cli, tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    run = run_cli(*LISTING, "--format", "json", "-o", str(link), "--force")
    assert run.exit_code == 0
    assert link.is_symlink()
    assert json.loads(target.read_text())["kind"] == "engines"
