"""Continuous batching: small runs worked out by hand, and what every run must add up to."""

import signal
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvprof._core import BatchingResult, CacheAllocator, Group, run_batching

FIELDS = (
    "steps",
    "completed",
    "rejected",
    "preemptions",
    "arrived",
    "waiting",
    "waiting_tokens",
    "fullest_steps",
    "mean_running",
)


def run(
    allocator: CacheAllocator,
    requests: list[tuple[float, int, int]],
    until_completed: int = 10**9,
    max_steps: int = 10**6,
) -> BatchingResult:
    """Run ``(arrival, prompt, output)`` requests."""
    return run_batching(
        allocator,
        arrival_steps=np.array([request[0] for request in requests], np.float64),
        prompt_tokens=np.array([request[1] for request in requests], np.int64),
        output_tokens=np.array([request[2] for request in requests], np.int64),
        until_completed=until_completed,
        max_steps=max_steps,
    )


def pool(num_blocks: int, rows_per_block: int) -> CacheAllocator:
    return CacheAllocator([Group(num_blocks=num_blocks, rows_per_block=rows_per_block)])


def held_tokens(allocator: CacheAllocator) -> list[int]:
    return [allocator.tokens(sequence) for sequence in allocator.sequences]


def test_requests_that_fit_run_together_and_leave_nothing() -> None:
    allocator = pool(8, 2)
    result = run(allocator, [(0, 4, 2), (0, 4, 4)])
    # Steps 1 and 2 have two running, steps 3 and 4 one.
    assert (result.steps, result.completed, result.mean_running) == (4, 2, 1.5)
    assert (result.preemptions, result.rejected, result.waiting) == (0, 0, 0)
    assert allocator.num_free(0) == 8


def test_the_fullest_step_is_the_first_that_held_most() -> None:
    # Blocks of 2: both hold 3 of them from step 1 to 2; then the first is done, and the other, 7
    # tokens long, holds 4 after step 3.
    requests = [(0.0, 4, 2), (0.0, 4, 4)]
    whole = run(pool(8, 2), requests)
    assert whole.fullest_steps == 1
    again = pool(8, 2)
    run(again, requests, max_steps=whole.fullest_steps)
    assert held_tokens(again) == [5, 5]


def test_the_sequence_admitted_last_is_preempted_and_recomputed() -> None:
    # Blocks of 2 tokens, 4 of them. Both grow to 4 tokens in steps 1 to 3, which fills the pool;
    # in step 4 the first takes its third block from the second.
    allocator = pool(4, 2)
    result = run(allocator, [(0, 1, 6), (0, 1, 6)], max_steps=4)
    assert (result.preemptions, result.waiting, result.waiting_tokens) == (1, 1, 4)
    assert held_tokens(allocator) == [5]
    assert result.mean_running == (2 + 2 + 2 + 1) / 4


def test_a_tight_pool_preempts_and_still_completes_everything() -> None:
    # Blocks of 2 tokens, 3 of them. Step 1: A takes the last block, B preempts itself. Step 2: B is
    # back and preempts itself again. Step 3: B is back, A takes its block. A ends in step 4, having
    # left no room for B; B runs alone in steps 5 to 8.
    allocator = pool(3, 2)
    result = run(allocator, [(0, 2, 4), (0, 2, 4)])
    assert (result.completed, result.preemptions, result.steps) == (2, 3, 8)
    assert allocator.num_free(0) == 3


def test_preempted_requests_keep_their_order() -> None:
    # 6 blocks of 1 token hold three sequences of 2 after step 1. In step 2 A takes a block of C, B
    # the other; in step 3 A takes one of B; the second block of B stays free.
    allocator = pool(6, 1)
    requests = [(0.0, 1, 5), (0.0, 1, 4), (0.0, 1, 3)]
    result = run(allocator, requests, max_steps=3)
    assert (result.preemptions, result.waiting, result.waiting_tokens) == (2, 2, 3)
    assert held_tokens(allocator) == [4]
    assert run(pool(6, 1), requests).completed == 3


@pytest.mark.parametrize(("prompt", "output"), [(9, 1), (8, 1), (1, 8)])
def test_a_request_larger_than_the_pool_is_rejected(prompt: int, output: int) -> None:
    allocator = pool(4, 2)
    result = run(allocator, [(0, prompt, output), (0, 4, 4)])
    assert (result.rejected, result.completed, result.arrived) == (1, 1, 2)
    assert result.steps == 4


def test_a_need_that_peaks_midway_is_rejected_not_hung() -> None:
    # A chunk of 8 in blocks of 2 needs 1 block at 2 and at 9 tokens, but 3 at 5 tokens.
    chunk = Group(num_blocks=2, rows_per_block=2, keep="chunk", keep_entries=8)
    allocator = CacheAllocator([chunk])
    result = run(allocator, [(0, 2, 7), (0, 0, 2)])
    # The second finds no block in steps 1 to 3; in step 3 the first, alone by then, is given up.
    assert (result.rejected, result.preemptions) == (1, 3)
    assert (result.completed, result.steps) == (1, 5)
    assert allocator.num_free(0) == 2


def test_sequences_from_before_the_run_are_left_alone() -> None:
    allocator = pool(4, 2)
    earlier = allocator.admit(6)
    result = run(allocator, [(0, 3, 1), (0, 1, 1)])
    assert (result.rejected, result.completed) == (1, 1)
    assert allocator.sequences.tolist() == [earlier]
    assert allocator.tokens(earlier) == 6


def test_admission_is_first_come_first_served() -> None:
    allocator = pool(4, 2)
    result = run(allocator, [(0, 4, 4), (0, 6, 1), (0, 1, 1)], max_steps=2)
    assert (result.waiting, result.waiting_tokens) == (2, 6)
    assert held_tokens(allocator) == [6]


def test_arrivals_wait_for_their_step_and_idle_steps_are_not_counted() -> None:
    requests = [(-1.0, 2, 2), (1.5, 2, 2), (1e6, 2, 1)]
    # The second arrives between steps at clock 1 and 2, when the first has ended.
    assert run(pool(4, 2), requests, max_steps=2).arrived == 1
    assert run(pool(4, 2), requests, max_steps=3).arrived == 2
    result = run(pool(4, 2), requests)
    assert (result.steps, result.completed, result.mean_running) == (5, 3, 1.0)
    # The clock jumps to whole steps: the first starts at 1, so the second is there at 2.
    assert run(pool(4, 2), [(0.5, 1, 5), (1.75, 1, 1)], max_steps=2).arrived == 2


@pytest.mark.parametrize(
    ("until_completed", "max_steps", "steps", "completed"),
    [(10, 10, 3, 3), (1, 10, 2, 2), (3, 10, 3, 3), (10, 1, 1, 0), (10, 0, 0, 0), (0, 10, 0, 0)],
)
def test_a_run_stops_at_the_end_of_a_step(
    until_completed: int, max_steps: int, steps: int, completed: int
) -> None:
    requests = [(0.0, 0, 2), (0.0, 1, 2), (0.0, 2, 3)]
    result = run(pool(20, 2), requests, until_completed, max_steps)
    assert (result.steps, result.completed) == (steps, completed)


def test_no_requests_is_an_empty_run() -> None:
    result = run(pool(1, 1), [])
    assert [getattr(result, name) for name in FIELDS] == [0] * len(FIELDS)


@st.composite
def groups(draw: st.DrawFn) -> list[dict[str, Any]]:
    def one() -> dict[str, Any]:
        keep = draw(st.sampled_from(["all", "last", "chunk", "tail", "once"]))
        return {
            "num_blocks": draw(st.integers(1, 16)),
            "rows_per_block": draw(st.integers(1, 4)),
            "keep": keep,
            "keep_entries": 0 if keep in ("all", "once") else draw(st.integers(1, 9)),
        }

    return [one() for _ in range(draw(st.integers(1, 2)))]


request_lists = st.lists(
    st.tuples(st.floats(-2, 30), st.integers(0, 20), st.integers(1, 20)), max_size=12
).map(sorted)


@given(groups(), request_lists, st.integers(0, 80))
def test_every_request_is_accounted_for_and_runs_repeat(
    arguments: list[dict[str, Any]], requests: list[tuple[float, int, int]], max_steps: int
) -> None:
    outcomes = []
    for _ in range(2):
        allocator = CacheAllocator([Group(**group) for group in arguments])
        result = run(allocator, requests, max_steps=max_steps)
        live = len(allocator.sequences)
        assert result.completed + result.rejected + live + result.waiting == result.arrived
        assert result.steps <= max_steps
        assert 0 <= result.mean_running <= len(requests)
        tables = [
            allocator.block_table(sequence, group)[1].tolist()
            for sequence in allocator.sequences
            for group in range(len(arguments))
        ]
        outcomes.append(([getattr(result, name) for name in FIELDS], tables))
    assert outcomes[0] == outcomes[1]


@given(groups(), request_lists)
def test_without_a_limit_every_request_ends(
    arguments: list[dict[str, Any]], requests: list[tuple[float, int, int]]
) -> None:
    allocator = CacheAllocator([Group(**group) for group in arguments])
    result = run(allocator, requests)
    assert result.completed + result.rejected == result.arrived == len(requests)
    assert result.steps < 10**6
    assert [allocator.num_free(group) for group in range(len(arguments))] == [
        group["num_blocks"] for group in arguments
    ]
    largest = [(prompt, prompt + output) for _, prompt, output in requests]
    never = [
        tokens
        for tokens in largest
        if any(
            allocator.blocks_needed(i, count) > group["num_blocks"]
            for i, group in enumerate(arguments)
            for count in range(tokens[0], tokens[1] + 1)
        )
    ]
    assert result.rejected == len(never)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt_tokens": [1]}, "one length: got 2, 1 and 2"),
        ({"arrival_steps": [1.0, 0.5]}, "must not descend: got 0.5.* for request 1"),
        ({"arrival_steps": [0.0, np.inf]}, "must be finite: got inf for request 1"),
        ({"arrival_steps": [np.nan, 0.0]}, "must be finite: got nan for request 0"),
        ({"prompt_tokens": [0, -3]}, "prompt_tokens must be 0 or more: got -3 for request 1"),
        ({"output_tokens": [0, 1]}, "output_tokens must be 1 or more: got 0 for request 0"),
        ({"prompt_tokens": [2**40, 1]}, r"2\*\*40 or less in sum"),
        ({"output_tokens": [2**63 - 1, 1]}, r"2\*\*40 or less in sum"),
        ({"until_completed": -1}, "until_completed must be .*got -1"),
        ({"max_steps": -1}, "max_steps must be .*got -1"),
        ({"arrival_steps": [[0.0, 1.0]]}, "arrival_steps must have one dimension: got 2"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], message: str) -> None:
    allocator = pool(4, 2)
    good: dict[str, Any] = {
        "arrival_steps": [0.0, 0.0],
        "prompt_tokens": [1, 1],
        "output_tokens": [1, 1],
        "until_completed": 1,
        "max_steps": 1,
    }
    with pytest.raises(ValueError, match=message):
        run_batching(allocator, **{**good, **arguments})
    assert (allocator.num_free(0), allocator.sequences.size) == (4, 0)
    with pytest.raises(TypeError, match="prompt_tokens must be integers"):
        run_batching(allocator, **{**good, "prompt_tokens": [1.5, 1.0]})


def test_a_run_lets_other_threads_work_and_stops_at_a_signal() -> None:
    class Interrupted(Exception):  # noqa: N818
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    def watch() -> None:
        while not ended.is_set():
            try:
                allocator.tokens(sequence)
            except RuntimeError as error:
                refusals.append(str(error))
                signal.pthread_kill(main_thread, signal.SIGUSR1)
                return

    # One state, held from its first token on; 2**31 steps take a minute.
    allocator = CacheAllocator([Group(num_blocks=2, rows_per_block=1, keep="once")])
    sequence = allocator.admit(1)
    refusals: list[str] = []
    ended, main_thread = threading.Event(), threading.get_ident()
    watcher = threading.Thread(target=watch)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        watcher.start()
        with pytest.raises(Interrupted):
            run(allocator, [(0, 0, 2**39)], max_steps=2**31)
    finally:
        ended.set()
        watcher.join()
        signal.signal(signal.SIGUSR1, before)
    assert refusals == ["the allocator is in run_batching on another thread"]
    assert allocator.sequences.size == 2
