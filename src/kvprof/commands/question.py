"""The questions of `kvprof solve`: which options each starts from, and which it cannot take."""

from __future__ import annotations

from typing import Any

from kvprof.commands.values import flatten
from kvprof.errors import UsageError

QUESTIONS = ("context", "sequences", "memory", "block-size")

_WITHOUT = {
    "context": {"tokens": "they are what it answers", "lengths": "it is about one length"},
    "sequences": {"sequences": "they are what it answers", "lengths": "it is about one length"},
    "memory": {
        "memory": "it is what it answers",
        "device_memory": "it is what it answers; --weights alone gives the device's too",
        "lengths": "it is about one length",
    },
    "block-size": dict.fromkeys(
        ("memory", "device_memory", "weights"), "the waste does not depend on the memory"
    ),
}
"""The options that a question cannot take, and why."""


def check_question(question: str, options: dict[str, Any]) -> None:
    """Refuse what the question cannot take, and what is missing.

    Raises
    ------
    UsageError
        With the option and the next thing to try.
    """
    for name, why in _WITHOUT[question].items():
        if options[name]:
            raise UsageError(
                f"{_flag(name)} cannot be given with the question {question!r}: {why}",
                hint=f"Leave it out; `kvprof solve --help` says what {question} starts from.",
            )
    if question in ("context", "sequences"):
        _need_memory(question, options)
    if question == "block-size" and options["lengths"]:
        if given := next((n for n in ("tokens", "sequences") if options[n]), None):
            raise UsageError(
                f"{_flag(given)} and --lengths are two ways to say one thing; give one of them"
            )
    elif question != "context" and not options["tokens"]:
        other = "--lengths, e.g. 32x512,8x4k, or " if question == "block-size" else ""
        raise UsageError(
            f"the question {question!r} starts from a length, and none is given",
            hint=f"Give {other}--tokens, e.g. --tokens 4k,32k.",
        )
    if 0 in flatten(options["tokens"]):
        raise UsageError(
            "--tokens is 0, and a sequence of no tokens keeps nothing",
            hint="Give at least 1; every question is about sequences that hold something.",
        )


def _need_memory(question: str, options: dict[str, Any]) -> None:
    if options["weights"] is not None and options["device_memory"] is None:
        raise UsageError(
            "--weights is taken off --device-memory, which is not given",
            hint="Give --device-memory too, or --memory alone: what the cache may use.",
        )
    if options["memory"] is None and options["device_memory"] is None:
        raise UsageError(
            f"the question {question!r} is about a memory, and none is given",
            hint="Give --memory, e.g. --memory 40GiB, or --device-memory less --weights.",
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
