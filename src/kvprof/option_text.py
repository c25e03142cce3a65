"""The text of ``--engine-option`` in, its parts out; light, since the command line needs it."""

from __future__ import annotations

from kvprof.errors import UsageError


def parse_option(text: str) -> tuple[str, str, str]:
    """``ENGINE.NAME=VALUE`` in its three parts.

    Raises
    ------
    UsageError
        When it is not written like that.
    """
    named, equals, value = text.partition("=")
    engine, dot, name = named.strip().partition(".")
    if not (equals and dot and engine and name and value.strip()):
        raise UsageError(
            f"{text[:60]!r} is no setting of an engine",
            hint="Write it like vllm.prefix_caching=off.",
        )
    return engine, name, value.strip()
