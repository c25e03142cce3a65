"""What conventions are made of."""

from kvprof.accounting import step_traffic
from kvprof.binding import Dtypes, bind
from kvprof.conventions import with_caches
from kvprof.layers import attention_cache, layer, reading_layer
from kvprof.layout import Cache, CacheLayout, Last

BFLOAT16 = Dtypes(cache="bfloat16", state="bfloat16", model="bfloat16")


def test_what_is_done_to_a_dropped_cache_goes_in_every_layer() -> None:
    """A layer may read another's cache: of K and V in 2 B of one head of 8, 32 B a row."""
    windowed, full = attention_cache(1, 8, keep=Last(4)), attention_cache(1, 8)
    layout = bind(
        CacheLayout((layer(0, windowed), layer(1, full), reading_layer(2, 0, windowed))), BFLOAT16
    )

    def full_alone(cache: Cache) -> tuple[Cache, ...]:
        return () if isinstance(cache.keep, Last) else (cache,)

    kept = with_caches(layout, full_alone)
    assert [len(each.owns) for each in kept.layers] == [0, 1, 0]
    assert [len(each.does) for each in kept.layers] == [0, 2, 0]
    assert sum(traffic.bytes_read for traffic in step_traffic(kept, 10)) == 10 * 32
