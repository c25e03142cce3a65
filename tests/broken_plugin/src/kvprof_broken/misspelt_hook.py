"""Implements a hook that there is not."""

from kvprof.hookspecs import hookimpl


@hookimpl
def kvprof_architecture() -> list[object]:
    """Never asked."""
    return []
