"""Offers an object that is no architecture."""

from kvprof.hookspecs import hookimpl


class NoArchitecture:
    """Has a name and nothing else."""

    name = "broken-offer"


@hookimpl
def kvprof_architectures() -> list[NoArchitecture]:
    """Offer it."""
    return [NoArchitecture()]
