"""Pages of single layers in, groups of layers that can share one pool of block ids out.

How vLLM groups a model whose layers keep different things (v1/core/kv_cache_planning.py): pages are
made equal where they can be, and layers are dealt to groups of equal size.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from kvprof.errors import UsageError
from kvprof.layout import All, Cache, Clock, Keep, Last, Once

_MUCH_LARGER = 1.5


class LayerPage(Struct, frozen=True):
    """One cache of one layer: the page of its own that a block has.

    ``keep`` is how the engine holds it, ``page_bytes`` with what it is padded by. A page that is
    ``indexed_by_row`` cannot be padded to another's: its kernels step in whole rows.
    """

    layer: int
    cache: Cache
    keep: Keep
    block_size: int
    page_bytes: int
    indexed_by_row: bool = False

    @property
    def alike(self) -> tuple[object, ...]:
        """What layers of one group have in common."""
        stored = (self.cache.fields, self.cache.clock, self.cache.entry_tokens)
        return (*stored, self.keep, self.block_size, self.page_bytes)

    @property
    def demand(self) -> tuple[object, ...]:
        """Pages of equal demand always need the same blocks: one block table serves them."""
        if isinstance(self.keep, Once):
            return self.keep, self.block_size, self.page_bytes
        return self.keep, self.cache.clock, self.block_size


class PageGroup(Struct, frozen=True):
    """Layers with one block table; ``summed`` where they are not all alike."""

    pages: tuple[LayerPage, ...]
    summed: bool = False

    @property
    def block_bytes(self) -> int:
        return sum(page.page_bytes for page in self.pages)


def group_pages(pages: Sequence[LayerPage]) -> tuple[PageGroup, ...]:
    """Groups by the first rule that fits: all alike, one demand, equal pages.

    Raises
    ------
    UsageError
        When the pages cannot be made equal.
    """
    if (single := single_group(pages)) is not None:
        return single
    try:
        equal = equal_pages(pages)
    except UsageError:
        promoted = single_group(promoted_pages(pages))
        if promoted is None or not any(isinstance(page.keep, Last) for page in pages):
            raise
        return promoted
    return tuple(PageGroup(tuple(group)) for group in _dealt(equal))


def single_group(pages: Sequence[LayerPage]) -> tuple[PageGroup, ...] | None:
    """One group of all layers, where one block table serves them; none of no layers."""
    if not pages:
        return ()
    if len({page.alike for page in pages}) == 1:
        return (PageGroup(tuple(pages)),)
    if len({page.demand for page in pages}) == 1:
        return (PageGroup(tuple(pages), summed=True),)
    return None


def promoted_pages(pages: Sequence[LayerPage]) -> list[LayerPage]:
    """Windows and chunks held as if every entry was kept, beside layers that do keep every one."""
    full = {
        page.block_size
        for page in pages
        if isinstance(page.keep, All) and page.cache.clock is Clock.DECODER
    }
    if not full:
        return list(pages)
    block_size = full.pop() if len(full) == 1 else None
    return [
        page
        if isinstance(page.keep, All | Once)
        else replace(
            page,
            keep=All(),
            block_size=block_size or page.block_size,
            page_bytes=page.page_bytes * (block_size or page.block_size) // page.block_size,
        )
        for page in pages
    ]


def equal_pages(pages: Sequence[LayerPage]) -> list[LayerPage]:
    """Pages as large as the largest: of more tokens where it is a multiple, else padded.

    Raises
    ------
    UsageError
        When a page that is read row by row does not divide the largest.
    """
    largest = max(page.page_bytes for page in pages)
    return [_enlarged(page, largest) for page in pages]


def _enlarged(page: LayerPage, size: int) -> LayerPage:
    if page.page_bytes == size:
        return page
    if isinstance(page.keep, Once):
        return replace(page, page_bytes=size)
    if size % page.page_bytes == 0:
        return replace(
            page, block_size=page.block_size * (size // page.page_bytes), page_bytes=size
        )
    if page.indexed_by_row:
        raise UsageError(
            f"the pages of this model cannot share one pool: the {page.page_bytes} B of "
            f"{page.cache.key!r} in layer {page.layer} do not divide the {size} B of the largest",
            hint="Another --block-size or --cache-dtype may fit; the engine would refuse it too.",
        )
    return replace(page, page_bytes=size)


def _dealt(pages: Sequence[LayerPage]) -> list[list[LayerPage]]:
    """Groups as large as the fewest layers that are alike, dealt in turn; the last may be short.

    Where even the most are less than 1.5 times the fewest, groups are as large as the most.
    """
    buckets: dict[tuple[object, ...], list[LayerPage]] = {}
    for page in pages:
        buckets.setdefault(page.alike, []).append(page)
    fewest, most = min(map(len, buckets.values())), max(map(len, buckets.values()))
    size = most if most < _MUCH_LARGER * fewest else fewest
    groups: list[list[LayerPage]] = []
    for alike in buckets.values():
        count = -(-len(alike) // size)
        groups += (alike[first::count] for first in range(count))
    return groups
