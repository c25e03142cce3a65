"""Mamba-2: state space duality, a larger fixed state in heads (2405.21060)."""

from kvprof.config import ModelConfig
from kvprof.hookspecs import hookimpl
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout

DEFAULTS = {"state_size": 128, "conv_kernel": 4, "expand": 2, "head_dim": 64, "n_groups": 8}
"""What the config class fills in when a published config leaves it out."""


class Mamba2:
    """Stacks of Mamba-2 layers."""

    name = "ssm2"
    summary = "Mamba-2: a fixed state in heads per sequence, no cache"
    reference = "mamba2-2.7b"
    model_types = frozenset({"mamba2"})

    def layout(self, config: ModelConfig) -> CacheLayout:
        """Every layer keeps ``conv_state`` and ``ssm_state``."""
        return read_layout(config.with_defaults(DEFAULTS))


@hookimpl
def kvprof_architectures() -> list[Mamba2]:
    """Offer the architecture ``ssm2``."""
    return [Mamba2()]
