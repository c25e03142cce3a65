"""What a plugin may name: parameters of the compiled policies are refused where they are made."""

from __future__ import annotations

import pytest

from kvprof.allocation import Grow, Pages, Reserve
from kvprof.errors import PluginError
from kvprof.registry import call_plugin


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Reserve("nope"), "tokens must be one of max, pow2, oracle: got 'nope'"),  # type: ignore[arg-type]
        (lambda: Reserve("max", "worst"), "fit must be one of buddy, first_fit: got 'worst'"),  # type: ignore[arg-type]
        (lambda: Pages(0), "page_bytes must be a whole number of at least 1: got 0"),
        (lambda: Grow(1.5), "unit_bytes must be a whole number of at least 1: got 1.5"),  # type: ignore[arg-type]
    ],
)
def test_a_plugin_that_names_what_there_is_not_is_named(make, said):
    with pytest.raises(PluginError, match="the plugin mine") as refusal:
        call_plugin("mine", object, make)
    assert said in str(refusal.value)
