"""Replays worked out by hand, and figures that were published."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from msgspec import Struct

from kvprof.case import Case
from kvprof.errors import TraceError, UsageError
from kvprof.model import named_model
from kvprof.registry import registry
from kvprof.replay.pace import Pace
from kvprof.replay.run import longest_request, replay
from kvprof.replay_result import MemoryTime, ReplayResult, TraceSource
from kvprof.size import Request
from kvprof.workload.batch import Batch

TOKEN = 131_072  # bytes of Llama 3 8B, all layers


class Table(Struct, frozen=True):
    """A workload of rows ``(arrival_s, prompt, output, hashes)``."""

    rows: tuple[tuple[float, int, int, tuple[int, ...]], ...]
    block_tokens: int | None = 16
    name: str = "table"
    notes: tuple[str, ...] = ()

    def batches(self, rows: int = 2) -> list[Batch]:
        cut = [self.rows[i : i + rows] for i in range(0, len(self.rows), rows)]
        return [
            Batch(
                np.array([row[0] for row in part], np.float64),
                np.array([row[1] for row in part], np.int64),
                np.array([row[2] for row in part], np.int64),
                np.full(len(part), -1, np.int64),
                np.cumsum([0, *(len(row[3]) for row in part)]).astype(np.int64),
                np.array([h for row in part for h in row[3]], np.uint64),
            )
            for part in cut
        ]


def run(
    engine: str,
    *rows: tuple[float, int, int],
    memory: int,
    pace: Pace | None = None,
    **given: object,
) -> ReplayResult:
    hashed = int(str(given.pop("hash_tokens", 16)))
    table = Table(
        tuple((*row, ()) if len(row) == 3 else row for row in rows),  # type: ignore[misc]
        block_tokens=hashed,
    )
    longest = given.pop("longest", None) or longest_request(table)
    model = named_model(str(given.pop("model", "llama-3-8b")))
    request = Request(tokens=longest, max_model_len=longest, memory_bytes=memory, **given)  # type: ignore[arg-type]
    case = Case(model, registry().engine(engine).what, request)
    slow = pace or Pace(decode_tokens_per_s=1.0)
    return replay(case, table, slow, source=TraceSource("table", "", ())).result


@pytest.mark.parametrize(
    ("engine", "reserved", "waste"),
    [
        # 33 + 20 tokens of at most 128: a power of two already.
        ("orca-max", 128, {"reserved_for_later": 20, "never_used": 75}),
        # 33 + 32 tokens, in a run of 128.
        ("orca-pow2", 128, {"reserved_for_later": 20, "never_used": 12, "padding": 63}),
        # 53 tokens, in a run of 64.
        ("orca-oracle", 64, {"reserved_for_later": 20, "padding": 11}),
    ],
)
def test_what_a_reservation_is(engine: str, reserved: int, waste: dict[str, int]) -> None:
    found = run(engine, (0, 33, 20), memory=200 * TOKEN + 5, longest=128)
    assert found.bytes.reserved == reserved * TOKEN
    assert found.bytes.logical == 33 * TOKEN
    assert {n: b for n, b in found.waste.items() if b} == {n: t * TOKEN for n, t in waste.items()}
    assert found.pool["remainder"] == 5


def test_first_fit_reserves_no_power_of_two() -> None:
    options = (("orca-oracle", "fit", "first_fit"),)
    found = run("orca-oracle", (0, 33, 20), memory=200 * TOKEN, engine_options=options)
    assert found.bytes.reserved == 53 * TOKEN


def test_a_memory_in_parts_is_external_fragmentation() -> None:
    # 192 tokens are runs of 128 and 64. The first request takes the 64, the second half of the 128,
    # the third wants 128 and waits while 64 are free.
    found = run("orca-oracle", (0, 40, 20), (0, 40, 20), (0, 100, 9), memory=192 * TOKEN)
    assert found.pool["external"] == 64 * TOKEN
    assert found.requests.completed == 3


@pytest.mark.parametrize(("page", "kib"), [("64KiB", 64), ("2MiB", 2048)])
def test_vattention_wastes_a_page_for_each_tensor_of_each_layer(page: str, kib: int) -> None:
    # Yi-34B on 2 ranks: 60 layers, keys and values, 4 heads of 128 in 2 bytes: 1 KiB a row.
    found = run(
        "vmm",
        (0, kib + 1, 0),
        memory=2**34,
        model="yi-34b",
        tensor_parallel=2,
        engine_options=(("vmm", "page", page),),
    )
    tensors = 60 * 2
    assert found.bytes.reserved == 2 * kib * 1024 * tensors
    assert found.waste["tail"] == (kib - 1) * 1024 * tensors


@pytest.mark.parametrize(("model", "tokens", "wasted"), [("gemma-2-9b", 8192, 0.25)])
def test_one_type_of_page_for_all_layers(model: str, tokens: int, wasted: float) -> None:
    options = (("vllm", "hybrid_manager", "off"),)
    row = (0.0, tokens, 0)
    found = run("vllm", row, memory=2**36, model=model, engine_options=options)
    # Half of the layers need 4,096 of 8,192 tokens (vLLM RFC 11382, Jenga).
    assert 1 - found.bytes.logical / found.bytes.reserved == wasted
    assert found.waste["window_slack"] == found.bytes.reserved - found.bytes.logical


def test_prompts_of_17_tokens_fill_53_percent_of_their_slots() -> None:
    found = run("vllm", (0, 17, 0), memory=2**30, model="opt-125m", longest=2048)
    assert found.bytes.logical / found.bytes.reserved == 17 / 32  # vLLM PR 57336


def test_the_youngest_makes_room_and_comes_back() -> None:
    # Four blocks of 16: two prompts of 32 fill them, and neither can grow; the second goes, and is
    # admitted again with its 32 tokens when the first is done.
    found = run("paged", (0, 32, 8), (0, 32, 8), memory=64 * TOKEN)
    assert found.requests.preemptions == 1
    assert found.recomputed_tokens == 32
    assert found.requests.completed == 2
    assert found.span_s == 9 + 9


def test_swapping_counts_bytes_and_computes_nothing_again() -> None:
    pace = Pace(decode_tokens_per_s=1.0, preemption="swap", prefill_tokens_per_s=4.0)
    found = run("paged", (0, 32, 8), (0, 32, 8), memory=64 * TOKEN, pace=pace)
    assert found.swapped_bytes == 32 * TOKEN
    assert found.recomputed_tokens == 0
    # 8 s of prefill and 8 of decoding, and 8 more: the second is there at once when it comes back.
    assert found.span_s == 8 + 9 + 9


def test_memory_time() -> None:
    # A second a token, 100 for the weights. To 11 tokens 11 are read and 1 is written, then 12 and
    # 1; the step in which the sequence leaves reads the weights alone.
    time = MemoryTime(float(TOKEN), 100 * TOKEN, float(TOKEN), "given")
    found = run("paged", (0, 10, 2), memory=64 * TOKEN, pace=Pace(memory_time=time))
    assert found.span_s == 112 + 113 + 100
    assert found.mean_step_s == 112.5
    assert found.mean.bytes.logical == TOKEN * (10 * 112 + 11 * 113 + 12 * 100) / 325
    # Half the bandwidth for the weights: they take twice as long.
    slower = MemoryTime(float(TOKEN), 100 * TOKEN, TOKEN / 2, "given")
    found = run("paged", (0, 10, 2), memory=64 * TOKEN, pace=Pace(memory_time=slower))
    assert found.span_s == 212 + 213 + 200


def test_a_prompt_without_an_answer_is_held_until_it_is_computed() -> None:
    pace = Pace(decode_tokens_per_s=1.0, prefill_tokens_per_s=4.0)
    found = run("paged", (0, 16, 0), memory=64 * TOKEN, pace=pace)
    assert found.span_s == 16 / 4 + 1


def test_a_request_alone_that_outgrows_the_memory_is_rejected() -> None:
    found = run("paged", (0, 32, 33), (1, 16, 1), memory=64 * TOKEN)
    assert (found.requests.rejected, found.requests.completed) == (1, 1)


def test_the_least_recently_used_prefix_goes_first() -> None:
    pace = Pace(decode_tokens_per_s=1.0, prefix_cache=True)
    rows = (
        (0.0, 33, 0, (1, 2)),
        (2.0, 33, 0, (3, 4)),
        (4.0, 33, 0, (1, 2)),  # finds both of its full blocks
        (6.0, 33, 0, (5, 6)),  # takes the room of 3 and 4
        (8.0, 33, 0, (1, 2)),  # still there
        (10.0, 33, 0, (3, 4)),  # gone
    )
    found = run("paged", *rows, memory=5 * 16 * TOKEN, pace=pace)  # type: ignore[arg-type]
    assert found.hit_rate == (32 + 32) / (6 * 33)


def test_the_last_token_is_computed_although_its_block_is_known() -> None:
    pace = Pace(decode_tokens_per_s=1.0, prefix_cache=True)
    rows = ((0.0, 32, 0, (1, 2)), (2.0, 32, 0, (1, 2)))
    found = run("paged", *rows, memory=2**30, pace=pace)  # type: ignore[arg-type]
    assert found.hit_rate == 16 / 64


def test_shared_blocks_count_once() -> None:
    pace = Pace(decode_tokens_per_s=1.0, prefix_cache=True)
    rows = ((0.0, 33, 4, (1, 2)), (0.0, 33, 4, (1, 2)))
    found = run("paged", *rows, memory=2**30, pace=pace)  # type: ignore[arg-type]
    assert found.bytes.reserved == 4 * 16 * TOKEN
    assert found.bytes.shared == 2 * 16 * TOKEN
    assert found.bytes.logical == (33 + 1) * TOKEN


def hashes(*runs: tuple[int, int]) -> tuple[int, ...]:
    """One hash for each block of 16 tokens, from runs ``(first, count)``."""
    return tuple(first + i for first, count in runs for i in range(count))


@pytest.mark.parametrize("engine", ["paged", "vllm"])
@pytest.mark.parametrize("model", ["gpt-oss-20b", "lfm2-1.2b"])
def test_a_window_or_a_state_is_there_at_the_end_of_a_prompt_and_where_prompts_part(
    engine: str, model: str
) -> None:
    # A window of 128 tokens, or a state, beside layers of all tokens, in blocks of 16.
    pace = Pace(decode_tokens_per_s=1.0, prefix_cache=True)
    rows = (
        (0.0, 400, 0, hashes((0, 25))),
        # The last token is computed: 384 of 400, which the first prompt left a window and a state
        # for.
        (2.0, 400, 0, hashes((0, 25))),
        # Parts from it after 256 tokens: all tokens are there up to 256, but no window and no state
        # of 256 tokens, so nothing is found; it leaves them.
        (4.0, 300, 0, hashes((0, 16), (100, 3))),
        (6.0, 300, 0, hashes((0, 16), (200, 3))),  # finds 256
        (8.0, 300, 0, hashes((0, 16), (200, 3))),  # finds 288: 299 in whole blocks
        (10.0, 300, 0, hashes((0, 8), (300, 11))),  # 128 tokens of all layers, but no window
    )
    found = run(engine, *rows, memory=2**32, model=model, pace=pace)  # type: ignore[arg-type]
    assert found.hit_rate == (384 + 256 + 288) / (2 * 400 + 4 * 300)


@pytest.mark.parametrize("model", ["gpt-oss-20b", "lfm2-1.2b"])
def test_hashes_of_more_than_a_block_leave_windows_and_states_where_a_hash_ends(model: str) -> None:
    # Hashes of 64 tokens: 400 are six of them and 16 tokens more, whose hash a longer prompt has
    # not. Up to 384 both are alike, as far as the trace tells.
    pace = Pace(decode_tokens_per_s=1.0, prefix_cache=True)
    longer = (2.0, 500, 0, (*range(6), 60, 61))
    rows = ((0.0, 400, 0, (*range(6), 50)), longer)
    found = run("paged", *rows, memory=2**32, model=model, pace=pace, hash_tokens=64)  # type: ignore[arg-type]
    assert found.hit_rate == 384 / 900


def test_a_chunk_is_needed_from_where_it_begins() -> None:
    # Llama 4 Scout sees 8,192 tokens in three of four layers: at 8,192 it needs none of them. All
    # blocks of both prompts are kept, so 8,224 tokens are found of 8,225 and of 8,240.
    pace = Pace(decode_tokens_per_s=1.0, prefix_cache=True)
    shared = hashes((0, 514))
    rows = (
        (0.0, 8225, 0, shared),
        (2.0, 8225, 0, shared),
        (4.0, 8240, 0, hashes((0, 514), (900, 1))),
        (6.0, 8300, 0, hashes((0, 512), (700, 6))),  # parts where the chunk ends
    )
    found = run("vllm", *rows, memory=2**35, model="llama-4-scout", pace=pace)  # type: ignore[arg-type]
    assert found.hit_rate == (2 * 8224 + 8192) / (2 * 8225 + 8240 + 8300)


def test_a_window_that_two_sequences_share_counts_once() -> None:
    # gpt-oss 20b: 12 layers with all tokens and 12 with a window of 128, 2,048 B a token and layer.
    pace = Pace(decode_tokens_per_s=1.0, prefix_cache=True)
    rows = ((0.0, 400, 0, hashes((0, 25))), (0.0, 410, 0, hashes((0, 25))))
    found = run("paged", *rows, memory=2**32, model="gpt-oss-20b", pace=pace)  # type: ignore[arg-type]
    row = 12 * 2048
    # The second finds 384 tokens. Of them the first, in blocks from 272 (400 - 128) on, and the
    # second, in blocks from 272 on too (282 = 410 - 128 is in that block), hold 112 of windows.
    assert found.bytes.shared == (384 + 112) * row
    # The first needs 400 and 128; the second 26 more of all tokens, and of windows from 384 on 26.
    assert found.bytes.logical == (400 + 128 + 26 + 26) * row
    # Two tables of all tokens end 0 and 6 slots after the last token; so do those of windows. What
    # the second has left, the first needs.
    assert {name: size for name, size in found.waste.items() if size} == {"tail": 2 * 6 * row}


def test_what_nobody_finds_again_is_an_error() -> None:
    pace = Pace(decode_tokens_per_s=1.0, prefix_cache=True)
    rows = ((0.0, 33, 0, (1, 2)),)
    off = (("vllm", "prefix_caching", "off"),)
    with pytest.raises(UsageError, match="keeps no states"):
        run("vllm", *rows, memory=2**34, model="jamba-mini-1.5", pace=pace, engine_options=off)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="encoder"):
        run("paged", *rows, memory=2**34, model="llama-3.2-11b-vision", pace=pace)  # type: ignore[arg-type]


def test_a_pool_that_is_full_leaves_another_idle() -> None:
    # SGLang's states of Jamba have 0.9 of what tokens have; short sequences use up the states.
    rows = [(0.0, 8, 8)] * 400
    found = run("sglang", *rows, memory=2**31, model="jamba-mini-1.5", longest=4096)
    assert found.pool["imbalance"] > 0.3 * found.capacity_bytes
    states, tokens = found.pools
    assert (states.label, tokens.label) == ("Once", "All")
    assert states.first_full_s == 0.0
    assert states.most.fill == 1.0
    assert tokens.full_ratio == 0.0
    assert tokens.first_full_s is None
    assert tokens.shares["imbalance"] == found.pool["imbalance"]
    assert states.shares["imbalance"] == 0


def test_groups_of_one_pool_hold_their_blocks() -> None:
    # Gemma 3 27B: 10 layers of all tokens, and 52 of a window of 1,024 in 6 groups of 9 or 8. Of
    # 1,996 tokens, 125 blocks of 16, a window keeps the 1,023 from 973 on: blocks from the 61st on.
    found = run("vllm", (0, 1996, 4), memory=2**32, model="gemma-3-27b", longest=2048)
    (pool,) = found.pools
    held = {(g.label, g.fullest.blocks, g.most.blocks) for g in pool.groups}
    assert held == {("All", 125, 125), ("Last(1024)", 125 - 60, 125 - 60)}
    assert [len(g.layers) for g in pool.groups if g.label == "All"] == [10]
    assert pool.fullest.blocks == 125 + 6 * 65
    assert pool.fullest.bytes == found.bytes.reserved
    assert pool.first_full_s is None


def test_a_pool_is_full_while_a_request_waits_for_it() -> None:
    # Four blocks of 16. The first request takes two for 10 steps, the second wants three and waits;
    # then it has three for 9 steps, with one left.
    found = run("paged", (0, 20, 9), (0, 40, 8), memory=64 * TOKEN)
    (pool,) = found.pools
    assert pool.full_ratio == 10 / 19
    assert pool.first_full_s == 0.0
    assert (pool.most.blocks, pool.most.fill) == (3, 0.75)
    assert pool.mean.blocks == (2 * 10 + 3 * 9) / 19


def test_arrivals_that_descend_are_refused() -> None:
    with pytest.raises(TraceError, match="ascend"):
        run("paged", (1, 1, 1), (0, 1, 1), memory=2**30)


def test_memory_is_asked_for() -> None:
    with pytest.raises(UsageError, match="memory"):
        run("paged", (0, 1, 1), memory=None)  # type: ignore[arg-type]


GROWS = """
import resource
import numpy as np
from kvprof._core import Replay, ReplayGroup, ReplayPart, ReplayPool, CacheRule, blocks_policy
rule = CacheRule(row_bytes=1024)
group = ReplayGroup(rule=rule, parts=[ReplayPart(cache=rule, rows_per_block=16)],
                    rows_per_block=16, block_tokens=16, pool=0)
policy = blocks_policy(groups=[group], pools=[ReplayPool(num_blocks=64, block_bytes=16384)],
                       logical=[rule], capacity_bytes=2**20)
loop = Replay(policy, ticks_per_s=1.0, most_samples=64)
n = 20_000
def feed(count, start):
    for i in range(start, start + count):
        loop.feed(arrival_s=np.arange(n) * 0.01 + i * n * 0.01, prompt_tokens=np.full(n, 20),
                  output_tokens=np.full(n, 5), hash_offsets=np.zeros(n + 1, np.int64),
                  hashes=np.zeros(0, np.uint64))
feed(2, 0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
feed(20, 2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_trace() -> None:
    """400,000 requests, of which most wait for long: the queue is the trace's, not the loop's."""
    done = subprocess.run(
        [sys.executable, "-c", GROWS], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) < 2048  # KiB
