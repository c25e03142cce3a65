"""Mamba-1: a selective state space model, a fixed state and no cache (2312.00752)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS = {"state_size": 16, "conv_kernel": 4, "expand": 2}
"""What the config classes fill in when a published config leaves it out."""


class Mamba1:
    """Stacks of Mamba-1 layers."""

    name = "ssm"
    summary = "Mamba-1: a fixed state per sequence, no cache"
    reference = "mamba-2.8b"
    model_types = frozenset({"falcon_mamba", "mamba"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``conv_state`` and ``ssm_state``."""
        return read_layout(config.with_defaults(DEFAULTS))


@hookimpl
def kvprof_architectures() -> list[Mamba1]:
    """Offer the architecture ``ssm``."""
    return [Mamba1()]
