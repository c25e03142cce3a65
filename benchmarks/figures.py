"""Published figures of memory waste, reproduced with `kvprof replay`: a Markdown table out.

Each row names the figure, what was published, what came out, and which assumptions it took.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from machine import add_output_option, write
from msgspec import Struct
from report_table import table

from kvprof.accounting import cache_groups, entry_bytes, logical_bytes
from kvprof.case import Case
from kvprof.config_file import parse_config
from kvprof.layout import Clock
from kvprof.model import Model, lay_out, named_model
from kvprof.registry import registry
from kvprof.replay.pace import Pace
from kvprof.replay.run import longest_request, replay
from kvprof.replay_result import ReplayResult, TraceSource
from kvprof.size import Request, place
from kvprof.workload.batch import Batch, Workload
from kvprof.workload.synthetic import Synthetic
from kvprof.workload.trace import open_trace

GB = 10**9
KIB = 1024
FIG_2 = {  # SOSP'23, figure 2: token states, reservation, internal, external and others
    "orca-max": (20.4, 13.3, 57.3, 8.9),
    "orca-pow2": (26.8, 17.9, 13.6, 41.6),
    "orca-oracle": (38.2, 25.2, 0.0, 36.6),
    "paged": (96.3, 0.0, 3.7, 0.0),
}
_LOG_STDDEV = 0.8
"""Of log lengths: with it the 7 live requests of orca-max hold as much as was published."""


class Figure(Struct, frozen=True):
    """One published number and the one that came out."""

    source: str
    what: str
    published: float
    found: float
    unit: str
    assumption: str = ""


class Lengths(Struct, frozen=True):
    """Requests of these lengths, all there at once: a `Workload`."""

    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str = "lengths"
    block_tokens: int | None = None
    notes: tuple[str, ...] = ()

    def batches(self, rows: int = 0) -> Any:
        """One batch."""
        count = len(self.prompts)
        yield Batch(
            np.zeros(count),
            np.array(self.prompts, np.int64),
            np.array(self.outputs, np.int64),
            np.full(count, -1, np.int64),
            np.zeros(count + 1, np.int64),
            np.zeros(0, np.uint64),
        )


def run(
    model: Model,
    engine: str,
    workload: Workload,
    memory: int,
    *,
    pace: Pace | None = None,
    **given: Any,
) -> ReplayResult:
    """One replay; the longest request is the longest sequence unless it is given."""
    longest = given.pop("longest", None) or longest_request(workload)
    request = Request(tokens=longest, max_model_len=longest, memory_bytes=memory, **given)
    case = Case(model, registry().engine(engine).what, request)
    source = TraceSource(workload.name, "", ())
    return replay(case, workload, pace or Pace(), source=source).result


def paged_attention() -> list[Figure]:
    """Token states and the split of the rest while requests always wait, OPT-13B in 12 GB."""
    names = ("token states", "reservation", "internal fragmentation", "external and others")
    assumed = (
        f"12 GB are GiB (15.7K slots); log-normal lengths, {_LOG_STDDEV} of logs, cut to the "
        "limit; requests always wait; averaged over time; what a run is rounded up by is external"
    )
    lengths = Synthetic(requests=3000, rate=1000.0, longest_tokens=2048, log_stddev=_LOG_STDDEV)
    figures = []
    for engine, published in FIG_2.items():
        result = run(named_model("opt-13b"), engine, lengths, 12 * 2**30, longest=2048)
        waste = result.mean.waste
        found = (
            result.mean.bytes.logical,
            waste["reserved_for_later"],
            waste["never_used"] + waste["tail"],
        )
        # Of vLLM the figure shows what is allocated, of the others the whole memory.
        whole = result.mean.bytes.reserved if engine == "paged" else result.capacity_bytes
        shares = [100 * size / whole for size in found]
        shares.append(100 - sum(shares))
        for name, expected, share in zip(names, published, shares, strict=True):
            what = f"{engine}: {name}"
            figures.append(Figure("PagedAttention, figure 2", what, expected, share, "%", assumed))
    return figures


def v_attention() -> list[Figure]:
    """The most that whole pages waste of a request, over all lengths of a page."""
    figures = []
    yi_6b = {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "torch_dtype": "bfloat16",
    }
    models = ((lay_out(parse_config(yi_6b, name="yi-6b", source="-")), 1, 4.0),)
    models += ((named_model("yi-34b"), 2, 15.0),)
    for model, ranks, published in models:
        for page, name in ((64 * KIB, "64KiB"), (2048 * KIB, "2MiB")):
            most = 0
            for tokens in (1, page // 1024 + 1, page // 2048 + 1, page // 512 + 1):
                result = run(
                    model,
                    "vmm",
                    Lengths((tokens,), (0,)),
                    64 * GB,
                    tensor_parallel=ranks,
                    engine_options=(("vmm", "page", name),),
                )
                most = max(most, result.waste["tail"])
            expected = published * page / (64 * KIB)
            what = f"{model.config.name}, {ranks} ranks: waste of a request, pages of {name}"
            assumed = "published: whole pages of all ranks; found: all but the one row that is held"
            found = most * ranks / 2**20
            figures.append(Figure("vAttention", what, expected, found, "MiB", assumed))
    return figures


def one_page_type() -> list[Figure]:
    """What a single type of page wastes where layers keep different things."""
    ministral = {
        "model_type": "mistral",
        "num_hidden_layers": 36,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "sliding_window": 32768,
        "layer_types": ["full_attention", *["sliding_attention"] * 3] * 9,
        "torch_dtype": "bfloat16",
    }
    source = "Jenga, vLLM RFC 11382"
    models = (
        (named_model("gemma-2-9b"), 8192, 25.0),
        (lay_out(parse_config(ministral, name="ministral-8b", source="-")), 131_072, 56.25),
    )
    figures = []
    for model, tokens, published in models:
        options = (("vllm", "hybrid_manager", "off"),)
        request = Lengths((tokens,), (0,))
        result = run(model, "vllm", request, 80 * GB, engine_options=options)
        found = 100 * (1 - result.bytes.logical / result.bytes.reserved)
        what = f"{model.config.name} at {tokens:,} tokens"
        figures.append(Figure(source, what, published, found, "%", "vllm.hybrid_manager=off"))
    figures.append(Figure(source, "mllama, 43 text and 6,193 image tokens", 79.6, mllama(), "%"))
    return figures


def mllama() -> float:
    """All layers keep all tokens, of text and of images; each needs but its own."""
    model = named_model("llama-3.2-11b-vision")
    placement = place(model, registry().engine("logical").what, Request(tokens=43))
    needed = logical_bytes(cache_groups(placement.layout), 43, 6193)
    every = sum(entry_bytes(cache) * (43 + 6193) for _, cache in placement.layout.caches())
    assert any(cache.clock is Clock.ENCODER for _, cache in placement.layout.caches())
    return 100 * (1 - needed / every)


def short_prompts() -> list[Figure]:
    """Prompts of 17 tokens in blocks of 16."""
    requests = Lengths((17,) * 100, (0,) * 100)
    result = run(named_model("opt-125m"), "vllm", requests, GB, longest=2048)
    found = 100 * result.bytes.logical / result.bytes.reserved
    what = "opt-125m, 17-token prompts: slots that hold tokens"
    return [Figure("vLLM PR 57336", what, 53.0, found, "%", "prompts alone: 17 of 32")]


def mooncake(path: Path) -> list[Figure]:
    """Hits of prompt tokens: without limit, and by memory."""
    figures = []
    model = named_model("llama-3-8b")
    source = "Mooncake conversation, half"
    with open_trace([path]) as trace:
        for block_size in (512, 16):
            for gib in (16_384, 1024, 256, 60):
                result = run(
                    model,
                    "vllm",
                    trace,
                    gib * 2**30,
                    pace=Pace(prefix_cache=True),
                    block_size=block_size,
                )
                what = f"hit rate, blocks of {block_size}, {gib:,} GiB"
                assumed = "published: blocks of 512, the last one of a prompt too; found: tokens"
                rate = 100 * (result.hit_rate or 0.0)
                figures.append(Figure(source, what, 34.6, rate, "%", assumed))
    return figures


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mooncake", type=Path, help="the first half of its conversation trace")
    add_output_option(parser)
    arguments = parser.parse_args()
    figures = [*paged_attention(), *v_attention(), *one_page_type(), *short_prompts()]
    if arguments.mooncake:
        figures += mooncake(arguments.mooncake)
    headings = ("source", "figure", "published", "found", "difference", "assumptions")
    rows = [
        (
            each.source,
            each.what,
            f"{each.published:g} {each.unit}",
            f"{each.found:.2f} {each.unit}",
            f"{each.found - each.published:+.2f}",
            each.assumption,
        )
        for each in figures
    ]
    sys.stdout.write("\n".join(table(headings, rows)))
    plain = [dict(zip(headings, row, strict=True)) for row in rows]
    write({"figures": plain}, arguments.output)


if __name__ == "__main__":
    main()
