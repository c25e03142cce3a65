import pytest
from kvprof_example import REFERENCE, CrossLayerAttention

from kvprof.accounting import cache_groups, logical_bytes, step_traffic
from kvprof.binding import Dtypes, bind
from kvprof.config_file import parse_config
from kvprof.errors import ConfigError
from kvprof.layout import Mode
from kvprof.testing import check_architecture

BFLOAT16 = Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16")
# One entry in one layer: (K + V) x 8 heads x 80 elements x 2 B.
ENTRY_BYTES = 2 * 8 * 80 * 2


def config(**changed):
    return parse_config(REFERENCE.config | changed, name="test", source="test")


def test_conforms():
    layout = check_architecture(CrossLayerAttention())
    assert [layer.index for layer, _ in layout.caches()] == list(range(0, 64, 2))


def test_bytes_by_hand():
    layout = bind(check_architecture(CrossLayerAttention()), BFLOAT16)
    # 32 of 64 layers own a cache: 32 x 2,560 B = 81,920 B per token, 80 KiB.
    assert logical_bytes(cache_groups(layout), 1) == 32 * ENTRY_BYTES == 81_920
    assert logical_bytes(cache_groups(layout), 4096) == 335_544_320


def test_a_step_reads_every_cache_once_for_each_layer_that_shares_it():
    layout = bind(check_architecture(CrossLayerAttention()), BFLOAT16)
    moved = {traffic.mode: traffic for traffic in step_traffic(layout, 1000)}
    assert moved[Mode.READ].bytes_read == 64 * 1000 * ENTRY_BYTES
    assert moved[Mode.APPEND].bytes_written == 32 * ENTRY_BYTES


@pytest.mark.parametrize(
    ("layers", "shared_by", "owners"), [(5, 2, [0, 2, 4]), (6, 3, [0, 3]), (3, 1, [0, 1, 2])]
)
def test_owners(layers, shared_by, owners):
    changed = config(num_hidden_layers=layers, cla_share_factor=shared_by)
    layout = check_architecture(CrossLayerAttention(), changed.fields)
    assert [layer.index for layer, _ in layout.caches()] == owners


@pytest.mark.parametrize("shared_by", [0, -2, 1.5, "2", None])
def test_a_share_factor_that_is_no_count_is_refused(shared_by):
    with pytest.raises(ConfigError, match="cla_share_factor"):
        CrossLayerAttention().layout(config(cla_share_factor=shared_by))
