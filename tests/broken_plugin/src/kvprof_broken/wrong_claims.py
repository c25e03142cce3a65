"""Claims model types that are no text, and a reference that is no name."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout


class WrongClaims:
    """An architecture but for what it says of itself."""

    name = "broken-claims"
    summary = "claims the model types 1 and None"
    reference = "gpt2-xl"
    model_types = (1, None)

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Nothing."""
        return CacheLayout(())


@hookimpl
def kvprof_architectures() -> list[WrongClaims]:
    """Offer it."""
    return [WrongClaims()]
