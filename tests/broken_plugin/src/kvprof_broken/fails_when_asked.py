"""Its hook fails."""

from kvprof.hookspecs import hookimpl


@hookimpl
def kvprof_engines() -> list[object]:
    """Divide by zero."""
    return [1 // 0]
