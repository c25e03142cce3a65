"""``list``, ``check``, ``doctor`` and ``schema``."""

from __future__ import annotations

import json

import jsonschema
import pytest

REFERENCES = {
    "mha": ("gpt2-xl", 300.0),
    "mqa": ("starcoder", 20.0),
    "gqa": ("llama-3-8b", 128.0),
    "mla": ("deepseek-v3", 68.625),
    "sliding": ("gemma-3-27b", 496.0),
    "ssm": ("mamba-2.8b", 0.0),
    "ssm2": ("mamba2-2.7b", 0.0),
    "hybrid": ("jamba-1.5-mini", 16.0),
}
"""What each architecture of the issue has as its reference, and its KiB per token in bfloat16."""


def test_architectures_in_the_order_of_history(results):
    rows = {row["name"]: row for row in results("list", "architectures")}
    for name, (reference, kib) in REFERENCES.items():
        assert (rows[name]["reference"], rows[name]["kib_per_token"]) == (reference, kib)
        assert rows[name]["plugin"].startswith(f"{name} (kvprof ")
    order = [name for name in rows if name in REFERENCES]
    assert order == ["mha", "mqa", "ssm", "hybrid", "gqa", "ssm2", "mla", "sliding"]


def test_models_in_the_order_of_history(results):
    rows = results("list", "models")
    dates = [row["date"] for row in rows]
    assert dates == sorted(dates)
    by_name = {row["name"]: row for row in rows}
    assert len(by_name) == len(rows)
    assert by_name["gpt2-xl"]["date"].startswith("2019")
    assert {row["confidence"] for row in rows} <= {"A", "B", "C"}
    for name, kib in REFERENCES.values():
        assert by_name[name]["kib_per_token"] == kib
        assert by_name[name]["attention"]
        assert by_name[name]["source"]


def test_models_by_size(results):
    sizes = [row["kib_per_token"] or 0 for row in results("list", "models", "--sort", "kib")]
    assert sizes == sorted(sizes, reverse=True)


def test_engines(results):
    assert {"logical", "paged"} <= {row["name"] for row in results("list", "engines")}


def test_devices_say_why_they_are_not_there(results):
    rows = {row["name"]: row for row in results("list", "devices")}
    assert rows["cpu"]["available"]
    assert rows["cpu"]["memory_bytes"] > 0
    assert any(row["backend"] == "cuda" for row in rows.values())
    assert all(row["description"] for row in rows.values())


@pytest.mark.parametrize("name", REFERENCES)
def test_the_built_in_architectures_conform(results, name):
    (result,) = results("check", name)
    assert (result["architecture"], result["conforms"], result["problems"]) == (name, True, [])


def test_check_of_several(results):
    names = ["sliding", "mha", "mla"]
    assert [result["architecture"] for result in results("check", *names)] == names


def test_doctor(results):
    rows = results("doctor")
    assert {row["status"] for row in rows} <= {"ok", "missing", "limited"}
    assert {"kvprof", "python", "cpu", "memory", "huge pages", "threads", "plugins"} <= {
        row["subject"] for row in rows
    }


def test_schema_is_a_schema_and_refuses_what_is_none(run_cli, validated):
    run = run_cli("schema")
    assert (run.exit_code, run.stderr) == (0, "")
    schema = json.loads(run.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    good = json.loads(run_cli("size", "--arch", "mla", "--format", "json").stdout)
    validated(json.dumps(good))
    size = good["results"][0]
    for broken in (
        {},
        good | {"kind": "sizes"},
        good | {"schema_version": 1},
        good | {"results": {}},
        good | {"results": [size | {"tokens": "4k"}]},
        good | {"results": [{name: size[name] for name in size if name != "bytes"}]},
        good | {"kind": "profile"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validated(json.dumps(broken))
