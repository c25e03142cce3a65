"""Prefix hits of vLLM's own KVCacheManager beside those of a replay, request by request.

Requests of a trace come one after the other; each is computed, and ends, before the next arrives.
vLLM (``--vllm``, an unpacked source distribution) computes its prompt in parts that end where its
scheduler ends them: where another prompt parted from it, at its last full block, and at its end.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from machine import add_output_option, machine, write
from msgspec.structs import replace

from kvprof._core import CacheRule, Replay, ReplayGroup, ReplayHolding, ReplayPart, ReplayPool
from kvprof._core import blocks_policy as policy_of
from kvprof.workload.batch import Batch
from kvprof.workload.trace import open_trace

BLOCK = 16
KINDS = {
    "windows": (("all", 0), *(("last", 1024),) * 5),
    "short windows": (("all", 0), ("last", 128)),
    "chunks": (("all", 0), *(("chunk", 8192),) * 3),
    "states": (("all", 0), *(("once", 0),) * 3),
    "all tokens": (("all", 0),),
}


def vllm_hits(kind: str, batch: Batch, num_blocks: int) -> list[int]:
    """Tokens that vLLM's manager finds of each request."""
    from vllm.v1.core.kv_cache_manager import KVCacheManager  # noqa: PLC0415
    from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec  # noqa: PLC0415
    from vllm_manager import ManagedRequest  # noqa: PLC0415

    groups = [KVCacheGroupSpec([f"layer{i}"], _spec(*rule)) for i, rule in enumerate(KINDS[kind])]
    config = KVCacheConfig(num_blocks, [], groups, prefix_cache_retention_interval=0)
    manager = KVCacheManager(
        config, max_model_len=2**20, scheduler_block_size=BLOCK, hash_block_size=BLOCK
    )
    found = []
    for i, prompt in enumerate(batch.prompt_tokens.tolist()):
        manager.new_step_starts()
        request = ManagedRequest(str(i), prompt, 0)
        hashes = batch.hashes[batch.hash_offsets[i] : batch.hash_offsets[i + 1]].tolist()
        request.block_hashes = [value.to_bytes(32, "big") for value in hashes]
        blocks, hit, junction = manager.get_computed_blocks(request)
        request.shared_prefix_boundary = junction
        found.append(hit)
        stops = {junction, (prompt - 1) // BLOCK * BLOCK, prompt}
        for stop in sorted(stop for stop in stops if stop > hit):
            computed = request.num_computed_tokens
            first = computed == 0
            new = stop - (hit if first else computed)
            given = (hit, blocks) if first and hit else (0, None)
            if manager.allocate_slots(request, new, *given) is None:
                raise SystemExit(f"{num_blocks} blocks are too few for a prompt of {prompt}")
            request.num_computed_tokens = stop
            manager.new_step_starts()
        manager.free(request)
    return found


def _spec(keep: str, entries: int) -> Any:
    from vllm.v1 import kv_cache_interface as specs  # noqa: PLC0415

    shape = {"block_size": BLOCK, "num_kv_heads": 8, "head_size": 128, "dtype": None}
    match keep:
        case "last":
            return specs.SlidingWindowSpec(**shape, sliding_window=entries)
        case "chunk":
            return specs.ChunkedLocalAttentionSpec(**shape, attention_chunk_size=entries)
        case "once":
            return specs.MambaSpec(
                block_size=BLOCK, shapes=((1,),), dtypes=(None,), mamba_cache_mode="align"
            )
    return specs.FullAttentionSpec(**shape)


def our_hits(kind: str, batch: Batch, num_blocks: int) -> list[int]:
    """Tokens that a replay finds of each request."""
    rules = [CacheRule(keep=keep, keep_entries=n, row_bytes=1) for keep, n in KINDS[kind]]
    held = ReplayHolding(
        lookahead_tokens=0, longest_tokens=2**20, retained_tokens=0, window_step=0, state_blocks=1
    )
    groups = [
        ReplayGroup(
            rule=rule,
            parts=[ReplayPart(cache=rule, rows_per_block=1 if keep == "once" else BLOCK)],
            rows_per_block=1 if keep == "once" else BLOCK,
            block_tokens=BLOCK,
            holding=held,
            pool=0,
            logical=[rule],
            checkpoints=keep == "once",
        )
        for rule, (keep, _) in zip(rules, KINDS[kind], strict=True)
    ]
    loop = Replay(
        policy_of(
            groups=groups,
            pools=[ReplayPool(num_blocks=num_blocks, block_bytes=BLOCK, reserved_blocks=1)],
            logical=rules,
            capacity_bytes=num_blocks * BLOCK,
            prefix_tokens=BLOCK,
            prefix_step=BLOCK,
        ),
        ticks_per_s=1.0,
    )
    found, before = [], 0
    for i, prompt in enumerate(batch.prompt_tokens.tolist()):
        hashes = batch.hashes[batch.hash_offsets[i] : batch.hash_offsets[i + 1]]
        loop.feed(
            arrival_s=np.array([2.0 * i]),
            prompt_tokens=np.array([prompt], np.int64),
            output_tokens=np.zeros(1, np.int64),
            hash_offsets=np.array([0, len(hashes)], np.int64),
            hashes=np.ascontiguousarray(hashes),
        )
        found.append(loop.counts["hit_tokens"] - before)
        before = loop.counts["hit_tokens"]
    return found


def random_batch(seed: int, count: int, hash_tokens: int) -> Batch:
    """Short prompts that begin as earlier ones did, in part."""
    random = np.random.default_rng(seed)
    prompts, hashes = [], [[]]
    for i in range(count):
        earlier = hashes[int(random.integers(0, len(hashes)))]
        begin = earlier[: int(random.integers(0, len(earlier) + 1))]
        end = [10**6 * (i + 1) + j for j in range(int(random.integers(1, 9)))]
        hashes.append((begin + end)[:40])
        prompts.append(len(hashes[-1]) * hash_tokens - int(random.integers(0, hash_tokens)))
    offsets = np.cumsum([0, *map(len, hashes[1:])]).astype(np.int64)
    return Batch(
        np.arange(count, dtype=np.float64),
        np.array(prompts, np.int64),
        np.zeros(count, np.int64),
        np.full(count, -1, np.int64),
        offsets,
        np.array([h for each in hashes[1:] for h in each], np.uint64),
    )


def by_block(batch: Batch, hash_tokens: int) -> Batch:
    """The same prompts with a hash for each block, as an engine has that sees the tokens."""
    rows = []
    for i, prompt in enumerate(batch.prompt_tokens.tolist()):
        hashes = batch.hashes[batch.hash_offsets[i] : batch.hash_offsets[i + 1]].tolist()
        ends = range(BLOCK, prompt + 1, BLOCK)
        texts = [f"{hashes[(end - 1) // hash_tokens]} {end}".encode() for end in ends]
        rows.append([int.from_bytes(hashlib.sha256(text).digest()[:8], "big") for text in texts])
    return replace(
        batch,
        hash_offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        hashes=np.array([value for row in rows for value in row], np.uint64),
    )


def compared(coarse: Batch, hash_tokens: int, num_blocks: int) -> dict[str, dict[str, Any]]:
    """By kind of layers, tokens found by both and how many requests differ."""
    batch = by_block(coarse, hash_tokens)
    rows = {}
    for kind in KINDS:
        theirs = vllm_hits(kind, batch, num_blocks)
        ours = our_hits(kind, batch, num_blocks)
        rows[kind] = {
            "requests": len(ours),
            "prompt_tokens": int(batch.prompt_tokens.sum()),
            "vllm_hit_tokens": sum(theirs),
            "hit_tokens": sum(ours),
            "requests_that_differ": sum(a != b for a, b in zip(theirs, ours, strict=True)),
        }
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path, help="a trace with prefix hashes")
    parser.add_argument("--vllm", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--random", type=int, default=20, help="small random workloads")
    add_output_option(parser)
    arguments = parser.parse_args()
    from vllm_manager import load  # noqa: PLC0415

    load(arguments.vllm)
    with open_trace([arguments.trace]) as trace:
        batch = next(iter(trace.batches(arguments.requests)))
        hash_tokens = int(trace.block_tokens or 0)
    result: dict[str, Any] = {"machine": machine()}
    for name, blocks in (("all stays", 2**21), ("evicting", 65_000)):
        result[f"trace, {name}"] = compared(batch, hash_tokens, blocks)
    for name, blocks in (("all stays", 2**16), ("evicting", 1500)):
        runs = [compared(random_batch(i, 60, 32), 32, blocks) for i in range(arguments.random)]
        result[f"random, {name}"] = {
            kind: {key: sum(run[kind][key] for run in runs) for key in runs[0][kind]}
            for kind in KINDS
        }
    for name, rows in result.items():
        if name == "machine":
            continue
        for kind, row in rows.items():
            sys.stdout.write(
                f"{name:<20}{kind:<15}{row['vllm_hit_tokens']:>12,}{row['hit_tokens']:>12,}"
                f" of {row['prompt_tokens']:,}; {row['requests_that_differ']} of "
                f"{row['requests']} requests differ\n"
            )
    write(result, arguments.output)


if __name__ == "__main__":
    main()
