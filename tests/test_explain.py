"""`--explain`: which fields of a config led to which cache."""

from typing import Any

from kvprof.config_file import parse_config
from kvprof.explain import explained, field_sources
from kvprof.model import Model, catalogue_model, lay_out
from kvprof.registry import engine
from kvprof.size import Request, size_model


def laid_out(**fields: Any) -> Model:
    return lay_out(parse_config(fields, name="test", source="test"))


def fields_behind(model: Model, layer: int, key: str) -> dict[str, Any]:
    reads = field_sources(model)[layer, key].values()
    return {read.field: (read.value, read.default) for read in reads}


GEMMA = laid_out(
    model_type="gemma2",
    num_hidden_layers=2,
    hidden_size=64,
    num_attention_heads=4,
    sliding_window=16,
    rope_theta=10000,
)


def test_each_cache_has_the_fields_that_made_it() -> None:
    windowed = fields_behind(GEMMA, 0, "sliding_attention")
    assert windowed["sliding_window"] == (16, False)
    assert windowed["head_dim"] == (256, True), "the config left it to its class"
    assert windowed["sliding_window_pattern"] == (2, True)
    assert "rope_theta" not in windowed


def test_a_state_has_other_fields_than_the_attention_beside_it() -> None:
    model = laid_out(
        layer_types=["mamba", "attention"],
        hidden_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        mamba_d_state=16,
        mamba_d_conv=4,
        mamba_expand=2,
    )
    state, rows = fields_behind(model, 0, "mamba1"), fields_behind(model, 1, "attention")
    assert {"mamba_d_state", "mamba_d_conv", "mamba_expand", "layer_types"} <= state.keys()
    assert "mamba_d_conv" not in rows
    assert "num_key_value_heads" in rows
    assert "num_key_value_heads" not in state


def test_a_layers_own_field_is_the_one_that_is_shown() -> None:
    model = laid_out(
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=4,
        head_dim=16,
        per_layer_config={"1": {"head_dim": 32}},
    )
    shown = [fields_behind(model, layer, "attention")["head_dim"][0] for layer in range(2)]
    assert shown == [16, 32]


def test_a_plugin_that_builds_its_layers_itself_has_read_all_of_its_fields() -> None:
    behind = fields_behind(catalogue_model("xlstm-7b"), 0, "mlstm")
    assert {"num_heads", "qk_dim_factor", "v_dim_factor"} <= behind.keys()


def test_nothing_is_said_unless_asked_and_no_figure_changes() -> None:
    result = size_model(GEMMA, engine("logical"), Request(tokens=8))
    assert all(cache.explain is None for cache in result.caches)
    told = explained(result, GEMMA)
    assert all(cache.explain for cache in told.caches)
    assert (told.bytes, told.waste) == (result.bytes, result.waste)
