"""The program itself: help, version, verbs and options that there are not, tracebacks."""

from __future__ import annotations

from importlib.metadata import version

import pytest

VERBS = ("profile", "size", "solve", "list", "check", "doctor", "schema")


def test_version(run_cli):
    assert run_cli("--version") == (0, f"kvprof {version('kvprof')}\n", "")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_verb(run_cli, option):
    run = run_cli(option)
    assert (run.exit_code, run.stderr) == (0, "")
    assert all(f"\n  {verb} " in run.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(run_cli, verb):
    run = run_cli(verb, "--help")
    assert (run.exit_code, run.stderr) == (0, "")
    assert run.stdout.startswith(f"Usage: kvprof {verb} ")
    assert "--traceback" in run.stdout


@pytest.mark.parametrize(
    ("verb", "example"),
    [
        ("profile", "kvprof profile --arch mla"),
        ("size", "kvprof size --arch mla"),
        ("solve", "kvprof solve context --model llama-3-8b --memory 16GiB --sequences 8"),
        ("list", "kvprof list architectures --format json"),
        ("check", "kvprof check mla"),
    ],
)
def test_help_shows_examples_on_lines_of_their_own(run_cli, verb, example):
    assert f"\n  {example}\n" in run_cli(verb, "--help").stdout


def test_no_verb(fails):
    message = fails(2)
    assert "no verb is given" in message
    assert all(verb in message for verb in VERBS)


def test_an_unknown_verb_is_quoted_and_the_nearest_suggested(fails):
    message = fails(2, "prof")
    assert "'prof'" in message
    assert "Did you mean profile?" in message
    assert "Did you mean" not in fails(2, "qqqq")


@pytest.mark.parametrize("arguments", [["--tokns", "1"], ["--arch", "mla", "--tokns=1"]])
def test_an_unknown_option_is_quoted_and_the_nearest_suggested(fails, arguments):
    message = fails(2, "size", *arguments)
    assert "--tokns" in message
    assert "--tokens" in message
    assert "kvprof size --help" in message


def test_an_unknown_option_before_the_verb(fails):
    assert "--nope" in fails(2, "--nope", "size", "--arch", "mla")
    assert "--nope" in fails(2, "--nope")


@pytest.mark.parametrize(
    "arguments",
    [
        ("size", "extra", "--arch", "mla"),
        ("list",),
        ("list", "everything"),
        ("list", "models", "extra"),
        ("list", "models", "--sort", "name"),
        ("check",),
        ("doctor", "extra"),
        ("schema", "--format", "json"),
        ("size", "--arch", "mla", "--tokens"),
        ("size", "--arch", "mla", "--format", "xml"),
    ],
    ids=" ".join,
)
def test_usage_errors(fails, arguments):
    message = fails(2, *arguments)
    assert f"`kvprof {arguments[0]} --help`" in message or "`kvprof --help`" in message


def test_no_traceback_unless_asked_for(run_cli, fails):
    message = fails(2, "size", "--arch", "nope")
    before = run_cli("--traceback", "size", "--arch", "nope")
    after = run_cli("size", "--arch", "nope", "--traceback")
    for run in (before, after):
        assert (run.exit_code, run.stdout) == (2, "")
        assert run.stderr.startswith("Traceback (most recent call last):\n")
        assert run.stderr.endswith(message)
