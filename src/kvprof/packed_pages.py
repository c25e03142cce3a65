"""Pages of several sizes in, groups that pack them side by side in each block out.

For engines that lay blocks outermost (vLLM v1/core/kv_cache_planning.py,
_get_packed_kv_cache_groups; DeepSeek V4): no page has to be as large as another.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kvprof.layer_pages import LayerPage, PageGroup
from kvprof.layout import Last, Once


class _Bucket(Struct, frozen=True):
    """Layers that one block table could serve, by page size."""

    pages: tuple[LayerPage, ...]
    by_size: tuple[tuple[LayerPage, ...], ...]

    @property
    def regular(self) -> bool:
        """Whether there are equally many pages of each size: a pattern that repeats."""
        return len({len(pages) for pages in self.by_size}) == 1

    @property
    def repeats(self) -> int:
        return max(len(pages) for pages in self.by_size)

    def widest(self, groups: int) -> int:
        """Bytes of a block of the widest of so many groups."""
        return sum(-(-len(pages) // groups) * pages[0].page_bytes for pages in self.by_size)


def packed_groups(pages: Sequence[LayerPage]) -> tuple[PageGroup, ...]:
    """Groups of equally many repeats of their pattern, those of states no wider than the others."""
    buckets = _buckets(pages)
    mixed = [b.repeats for b in buckets if b.regular and len(b.by_size) > 1]
    regular = [b.repeats for b in buckets if b.regular]
    repeats = least_padding_divisor(regular, at_least=max(mixed)) if mixed else None

    def count(bucket: _Bucket) -> int:
        return -(-bucket.repeats // repeats) if repeats and bucket.regular else 1

    def flexible(bucket: _Bucket) -> bool:
        keep = bucket.pages[0].keep
        return isinstance(keep, Once) or (repeats is None and isinstance(keep, Last))

    anchor = max(b.widest(len(b.pages) if flexible(b) else count(b)) for b in buckets)
    groups: list[PageGroup] = []
    for bucket in buckets:
        into = count(bucket)
        if flexible(bucket):
            fitting = max(anchor // bucket.pages[0].page_bytes, 1)
            into = max(into, -(-len(bucket.pages) // fitting))
        groups += _split(bucket, into)
    return tuple(groups)


def _buckets(pages: Sequence[LayerPage]) -> list[_Bucket]:
    by_demand: dict[tuple[object, ...], list[LayerPage]] = {}
    for page in pages:
        by_demand.setdefault(page.demand, []).append(page)
    buckets = []
    for members in by_demand.values():
        by_size: dict[int, list[LayerPage]] = {}
        for page in members:
            by_size.setdefault(page.page_bytes, []).append(page)
        buckets.append(_Bucket(tuple(members), tuple(map(tuple, by_size.values()))))
    return buckets


def _split(bucket: _Bucket, into: int) -> list[PageGroup]:
    if into == 1:
        return [PageGroup(bucket.pages, summed=True)]
    patterns = list(zip(*bucket.by_size, strict=False))
    return [
        PageGroup(tuple(page for pattern in patterns[i::into] for page in pattern), summed=True)
        for i in range(into)
    ]


def least_padding_divisor(counts: Sequence[int], at_least: int) -> int:
    """The number up to whose multiples the counts are rounded with least padding; the largest such.

    Examples
    --------
    >>> least_padding_divisor([43, 21, 20], at_least=21)
    22
    """
    candidates = range(at_least, max(counts) + 1)
    return min(candidates, key=lambda d: (sum(-n % d for n in counts), -d))
