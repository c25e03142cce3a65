"""Hits of a prefix cache on Mooncake's conversations, by memory, against a plain LRU in Python.

The plain one holds one request at a time, so it is compared with a replay of requests one by one,
of which only prompts are kept: there both must find the same tokens. Beside it stands the replay on
the trace's own clock, where sequences that run take the room of prefixes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from figure import Figure, run
from msgspec import Struct
from msgspec.structs import replace

from kvprof.model import named_model
from kvprof.replay.run import Pace
from kvprof.workload.batch import Batch, Workload
from kvprof.workload.trace import open_trace

GIB = 2**30
TOKEN_BYTES = 131_072
"""Of Llama 3 8B: 32 layers, keys and values, 8 heads of 128 in 2 bytes."""
MEMORIES_GIB = (16_384, 4096, 1024, 512, 256, 128, 60)
HASH_TOKENS = 512
Prompt = tuple[int, list[int]]
"""Tokens, and the hashes of its prefixes of 512 tokens."""


class OneByOne(Struct, frozen=True):
    """The prompts of a workload, each alone: they come a second apart and make no output."""

    trace: Workload
    name: str = "one by one"
    block_tokens: int | None = HASH_TOKENS
    notes: tuple[str, ...] = ()

    def batches(self, rows: int = 4096) -> Iterator[Batch]:
        """The trace's batches on another clock."""
        first = 0
        for batch in self.trace.batches(rows):
            count = len(batch)
            yield replace(
                batch,
                arrival_s=np.arange(first, first + count, dtype=np.float64),
                output_tokens=np.zeros(count, np.int64),
            )
            first += count


def prompts_of(workload: Workload) -> list[Prompt]:
    """All prompts in order."""
    return [
        (int(tokens), batch.hashes[start:end].tolist())
        for batch in workload.batches()
        for tokens, start, end in zip(
            batch.prompt_tokens, batch.hash_offsets[:-1], batch.hash_offsets[1:], strict=True
        )
    ]


def plain_lru(prompts: list[Prompt], block_tokens: int, blocks: int) -> float:
    """Share of prompt tokens found in a memory of so many blocks, the least recently used going."""
    unused: OrderedDict[tuple[int, int], None] = OrderedDict()
    hits = asked = 0
    for tokens, hashes in prompts:
        need = -(-tokens // block_tokens)
        if need > blocks:
            continue
        asked += tokens
        whole = min(tokens, len(hashes) * HASH_TOKENS) // block_tokens
        ends = range(block_tokens, whole * block_tokens + 1, block_tokens)
        keys = [(hashes[(end - 1) // HASH_TOKENS], end) for end in ends]
        found = 0
        for key in keys[: (tokens - 1) // block_tokens]:  # the last token is always computed
            if key not in unused:
                break
            found += 1
        for key in keys[:found]:
            del unused[key]
        hits += found * block_tokens
        while len(unused) + need > blocks:
            unused.popitem(last=False)
        mine = keys[:found] + [key for key in keys[found:] if key not in unused]
        for key in reversed(mine):  # the end of a prompt goes before its beginning
            unused[key] = None
    return hits / asked


def block_hits(prompts: list[Prompt]) -> float:
    """Of all hashes, the last one of a prompt included, those of a prefix that was seen before."""
    seen: set[int] = set()
    hits = total = 0
    for _, hashes in prompts:
        total += len(hashes)
        for value in hashes:
            if value not in seen:
                break
            hits += 1
        seen.update(hashes)
    return hits / total


def mooncake(path: Path) -> tuple[list[Figure], list[str], list[list[str]]]:
    """The published figure; headings and rows of hit rates by memory."""
    model, pace = named_model("llama-3-8b"), Pace(prefix_cache=True)
    headings = ["memory", "block", "plain LRU", "replay one by one", "replay on the trace's clock"]
    rows = []
    with open_trace([path]) as trace:
        prompts = prompts_of(trace)
        for block in (512, 16):
            for gib in MEMORIES_GIB:
                memory = gib * GIB
                given = {"pace": pace, "block_size": block}
                alone = run(model, "vllm", OneByOne(trace), memory, **given).hit_rate or 0.0
                clocked = run(model, "vllm", trace, memory, **given).hit_rate or 0.0
                blocks = memory // (block * TOKEN_BYTES) - 1  # vLLM's null block
                plain = plain_lru(prompts, block, blocks)
                assert plain == alone, (gib, block, plain, alone)
                rates = (f"{100 * rate:.3f} %" for rate in (plain, alone, clocked))
                rows.append([f"{gib:,} GiB", str(block), *rates])
        source, limitless = "Mooncake conversation, half", 10**9
        figures = [
            Figure(source, what, 34.6, 100 * rate, "%", assumed)
            for what, rate, assumed in (
                (
                    "blocks of 512 that were seen before, unlimited",
                    block_hits(prompts),
                    "the last, begun block of a prompt counts as one; counted in plain Python",
                ),
                (
                    "tokens found by blocks of 512, unlimited",
                    plain_lru(prompts, 512, limitless),
                    "whole blocks, the last token never; of prompt tokens, not of blocks",
                ),
            )
        ]
    return figures, headings, rows
