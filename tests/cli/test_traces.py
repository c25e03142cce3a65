"""``list traces``."""

from __future__ import annotations

import json

import pytest

PLAIN = "arrival_s,prompt_tokens,output_tokens,session_id,prefix_hashes\n"


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(PLAIN + "0,20,2,a,1 2\n2,40,4,a,1 2 3\nx,9,9,,\n4,16,0,,1\n")
    return path


def test_a_trace_in_figures(run_cli, validated, trace):
    run = run_cli("list", "traces", trace, "--skip-bad-rows", "--format", "json")
    (row,) = validated(run.stdout)["results"]
    assert row == {
        "path": str(trace),
        "format": "plain",
        "files": 1,
        "requests": 3,
        "failed": 0,
        "bad_rows": {"no usable arrival time": 1},
        "out_of_order": 0,
        "span_s": 4.0,
        "requests_per_s": 0.5,
        # Of 16, 20 and 40 the second is the median and the third the 95th percentile.
        "prompt_tokens": {"mean": 76 / 3, "p50": 20, "p95": 40, "max": 40, "total": 76},
        "output_tokens": {"mean": 2.0, "p50": 2, "p95": 4, "max": 4, "total": 6},
        "sessions": 1,
        "block_tokens": 16,
        "blocks": 6,
        "block_reuse_ratio": 0.5,
        "prefix_reuse_ratio": 0.5,
        "cached_ratio": None,
        "notes": [],
    }


def test_a_bad_row_ends_it(fails, trace):
    message = fails(2, "list", "traces", trace)
    assert f"{trace}:4: 'x,9,9,,': no usable arrival time" in message
    assert "--skip-bad-rows" in message


@pytest.mark.parametrize("format_", ["table", "markdown", "csv"])
def test_other_formats(run_cli, trace, format_):
    run = run_cli("list", "traces", trace, trace, "--skip-bad-rows", "--format", format_)
    assert run.exit_code == 0
    assert run.stdout.count("plain") == 2
    if format_ != "csv":
        assert "2 traces" in run.stdout
        assert "Left out: 1 row: no usable arrival time." in run.stdout


def test_options_reach_the_trace(run_cli, trace):
    words = ("--skip-bad-rows", "--rate", "2", "--duration", "1", "--trace-format", "plain")
    run = run_cli("list", "traces", trace, *words, "--format", "json")
    (row,) = json.loads(run.stdout)["results"]
    # 2 gaps at 2 requests/s: arrivals at 0, 0.5 and 1 s, the last of which is too late.
    assert (row["requests"], row["span_s"]) == (2, 0.5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("traces",), "no trace is given"),
        (("models", "x.csv"), "list models takes no PATH"),
        (("traces", "nothing.csv"), "'nothing.csv' cannot be read: No such file"),
        (("traces", "x", "--rate", "0"), "--rate: '0' is no usable number"),
        (("traces", "x", "--duration", "nan"), "--duration: 'nan' is no usable number"),
    ],
)
def test_what_cannot_be(fails, words, message):
    assert message in fails(2, "list", *words)
