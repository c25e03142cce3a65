"""Caches that try a vectorised kernel: odd rows at every alignment, tiles, pages large and tiny."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .model import Pages, Runs

VECTOR = 16  # bytes of the widest load or store of one lane
SHORT_ROWS = range(1, 41)
# Rows of packed and plain caches, some of whole words, vectors or cache lines, and 4 KiB - 16 to
# 4 KiB + 16.
LONG_ROWS = (132, 336, 352, 528, 576, 584, 656, 1152, 4080, 4096, 4112)


def staggered(row_bytes: int, step_bytes: int) -> Pages:
    """Segments of which each begins ``step_bytes`` further into a vector than the one before.

    A step of 0 is always the first byte of a vector. Of short rows, a step of 1 is every byte of
    it: three segments of six pages. Of long ones, two pages are enough for every third byte.
    """
    blocks, rows = (6, 3) if row_bytes in SHORT_ROWS else (2, 2)
    gap_bytes = (step_bytes - rows * row_bytes) % VECTOR
    return Pages(0, 2, blocks, rows, (row_bytes,) * 3, gap_bytes)


def some_rows(cache: Pages) -> Runs:
    """Every block in some order, every other one without its first row."""
    rows = cache.rows_per_block
    cut = min(rows - 1, 1)
    order = np.random.default_rng(6).permutation(cache.blocks)
    return np.array([(b, b % 2 * cut, rows - b % 2 * cut) for b in order], np.uint32)


def full_pages(cache: Pages) -> Runs:
    return np.array([(b, 0, cache.rows_per_block) for b in range(cache.blocks)], np.uint32)


def across_tiles(cache: Pages) -> Runs:
    """Runs that begin and end at a border of 4 KiB, a row before it and a row behind it."""
    tile = 4096 // cache.row_bytes[0]
    starts = (0, 1, tile - 1, tile)
    lengths = (1, tile - 1, tile, tile + 1, 2 * tile - 1, 2 * tile, 2 * tile + 1)
    pairs = [(first, rows) for first in starts for rows in lengths]
    return np.array([(block, *pair) for block, pair in enumerate(pairs)], np.uint32)


TILES = Pages(0, 1, 28, 800, (16,), 0)
ODD_TILES = Pages(7, 1, 28, 380, (33,), 5)

# Two of each fit in 1 MiB.
SHAPES = {
    "pages of 10 KiB": (cache := Pages(5, 2, 3, 16, (656,), 0), some_rows(cache)),
    "pages of 72 KiB": (cache := Pages(0, 1, 4, 64, (1152,), 0), some_rows(cache)),
    "pages of 72 KiB, off": (cache := Pages(3, 1, 4, 64, (1151,), 3), some_rows(cache)),
    "rows of 200 KB": (cache := Pages(1, 2, 1, 1, (200_001,), 0), full_pages(cache)),
    "runs across tiles": (TILES, across_tiles(TILES)),
    "odd runs across tiles": (ODD_TILES, across_tiles(ODD_TILES)),
    "blocks one behind the other": (cache := Pages(0, 2, 64, 16, (64,), 0), full_pages(cache)),
    "6000 tiny runs": (cache := Pages(9, 1, 6000, 1, (7, 24), 3), some_rows(cache)),
    "6000 aligned runs": (cache := Pages(0, 1, 6000, 1, (32,), 0), some_rows(cache)),
    "300 layers": (cache := Pages(0, 300, 4, 2, (48, 16), 0), some_rows(cache)),
    "500 layers within blocks": (cache := Pages(2, 500, 3, 1, (33,), 1, True), some_rows(cache)),
}


def elsewhere(cache: Pages, gap_bytes: int) -> Pages:
    """A cache behind this one, with rows alike, its pages in the other order and further apart."""
    return replace(
        cache,
        base_bytes=-(-cache.plan(full_pages(cache)).extent_bytes // VECTOR) * VECTOR,
        gap_bytes=cache.gap_bytes + gap_bytes,
        blocks_outermost=not cache.blocks_outermost,
    )


def slots_of(cache: Pages, runs: Runs) -> list[int]:
    """The rows of runs in another order, not more than a prefill has, with padding among them."""
    slots = [
        block * cache.rows_per_block + row
        for block, first, rows in runs.tolist()
        for row in range(first, first + rows)
    ]
    picked = np.random.default_rng(9).permutation(slots)[:500]
    return [-1, *picked.tolist(), -1]
