"""PagedAttention (SOSP'23), figure 2: token states and the split of the rest, and what moves them.

From the paper: OPT-13B, 12 GB of cache of 15.7K slots (table 1), sequences of at most 2,048 tokens,
runs by a buddy allocator, `Pow2` reserving the output at most twice as long as it is, lengths of
ShareGPT with means of 161.31 and 337.99 (figure 11). Live requests are those of figure 13a.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from figure import Figure, Lengths, run

from kvprof.model import named_model
from kvprof.replay.run import Pace
from kvprof.workload.batch import Workload
from kvprof.workload.synthetic import Synthetic

GIB = 2**30
LONGEST = 2048
FIG_2 = {  # token states, reservation, internal fragmentation, external and others
    "orca-max": (20.4, 13.3, 57.3, 8.9),
    "orca-pow2": (26.8, 17.9, 13.6, 41.6),
    "orca-oracle": (38.2, 25.2, 0.0, 36.6),
    "paged": (96.3, 0.0, 3.7, 0.0),
}
FIG_13 = {"orca-max": 7.00, "orca-pow2": 9.81, "orca-oracle": 13.62, "paged": 30.42}
LOG_STDDEV = 0.8
"""Of log lengths. The paper's own figures say so: 13.3 % of 15.7K slots are what 7 live requests of
orca-max have still to write, 298 each: E[n^2] / 2 E[n] of outputs of 338 on average, hence a
variance of 0.76 squared means, of logs 0.75 before long ones are cut."""


def token_states(engine: str, workload: Workload, memory: int = 12 * GIB, **given: Any) -> Any:
    """Shares in percent, averaged over time, and the live requests."""
    result = run(named_model("opt-13b"), engine, workload, memory, longest=LONGEST, **given)
    waste = result.mean.waste
    # Of vLLM the figure shows what is allocated, of the others the whole memory.
    whole = result.mean.bytes.reserved if engine == "paged" else result.capacity_bytes
    found = (
        result.mean.bytes.logical,
        waste["reserved_for_later"],
        waste["never_used"] + waste["tail"],
    )
    shares = [100 * size / whole for size in found]
    return [*shares, 100 - sum(shares)], result.mean.live_sequences


def chat(log_stddev: float = LOG_STDDEV, rate: float = 1000.0, seed: int = 0) -> Synthetic:
    """ShareGPT's means; at 1,000 a second requests always wait."""
    return Synthetic(
        requests=3000, rate=rate, longest_tokens=LONGEST, log_stddev=log_stddev, seed=seed
    )


def paged_attention() -> list[Figure]:
    """Token states, the split of the rest, and live requests while requests always wait."""
    names = ("token states", "reservation", "internal fragmentation", "external and others")
    assumed = (
        f"12 GB are GiB (15.7K slots); log-normal lengths, {LOG_STDDEV} of logs, cut to the "
        "limit; requests always wait; averaged over time; what a run is rounded up by is external"
    )
    source = "PagedAttention, figure 2"
    figures = []
    for engine, published in FIG_2.items():
        shares, live = token_states(engine, chat())
        figures += [
            Figure(source, f"{engine}: {name}", expected, share, "%", assumed)
            for name, expected, share in zip(names, published, shares, strict=True)
        ]
        what = f"{engine}: live requests"
        figures.append(
            Figure("PagedAttention, figure 13a", what, FIG_13[engine], live, "", assumed)
        )
    return figures


def sensitivity() -> tuple[list[str], list[list[str]]]:
    """Token states by one other assumption at a time: headings and rows."""
    headings = ["assumption", *(f"{engine} (live)" for engine in FIG_2)]
    rows = [["published", *(f"{FIG_2[name][0]} ({FIG_13[name]})" for name in FIG_2)]]
    cases: list[tuple[str, Workload, dict[str, Any]]] = [
        (f"as above: {LOG_STDDEV} of log lengths", chat(), {}),
        ("another seed", chat(seed=1), {}),
        ("0.6 of log lengths", chat(0.6), {}),
        ("0.7", chat(0.7), {}),
        ("0.9", chat(0.9), {}),
        ("1.1", chat(1.1), {}),
        ("prompts of 1.4 up to 1,024 tokens, means after the cut", _wide_prompts(), {}),
        ("12 GB are 10^9 bytes", chat(), {"memory": 12 * 10**9}),
        ("2 requests/s, 20 tokens/s each", chat(rate=2), {"pace": Pace(decode_tokens_per_s=20.0)}),
        ("2 requests/s, 40 tokens/s each", chat(rate=2), {"pace": Pace(decode_tokens_per_s=40.0)}),
        ("first fit: runs are not powers of two", chat(), {"fit": "first_fit"}),
    ]
    for name, workload, given in cases:
        fit = given.pop("fit", None)
        cells = []
        for engine in FIG_2:
            chosen = (
                {"engine_options": ((engine, "fit", fit),)} if fit and engine != "paged" else {}
            )
            shares, live = token_states(engine, workload, **given, **chosen)
            cells.append(f"{shares[0]:.1f} ({live:.2f})")
        rows.append([name, *cells])
    return headings, rows


def _wide_prompts() -> Lengths:
    generator = np.random.default_rng(0)
    prompts = _with_mean(generator, 161.31, 1.4, 1024)
    outputs = np.minimum(_with_mean(generator, 337.99, LOG_STDDEV, LONGEST), LONGEST - prompts)
    return Lengths(prompts.tolist(), outputs.tolist())


def _with_mean(generator: np.random.Generator, mean: float, stddev: float, most: int) -> Any:
    """Log-normal lengths that have that mean once they are cut."""
    drawn = stddev * generator.standard_normal(4000)
    location = np.log(mean)
    for _ in range(50):
        lengths = np.clip(np.rint(np.exp(location + drawn)), 1, most)
        location += np.log(mean / lengths.mean())
    return lengths.astype(np.int64)
