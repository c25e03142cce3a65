"""Its hook takes an argument that the hook does not have."""

from kvprof.hookspecs import hookimpl


@hookimpl
def kvprof_architectures(config: object) -> list[object]:
    """Never asked."""
    return [config]
