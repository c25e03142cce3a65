"""What `kvprof list traces` says of a trace: the types behind its table and its JSON."""

from __future__ import annotations

from msgspec import Struct


class LengthFacts(Struct, frozen=True):
    """Tokens over all requests: mean, median, 95th percentile and largest, and their sum.

    Percentiles are the smallest length that so many requests do not exceed.
    """

    mean: float
    p50: int
    p95: int
    max: int
    total: int


class TraceRow(Struct, frozen=True):
    """One trace: its requests, and what was done to its rows.

    ``failed``, ``bad_rows`` (by reason) and those after ``--duration`` are not among ``requests``.
    ``block_reuse_ratio`` is the share of prefix blocks that were seen before in the trace;
    ``prefix_reuse_ratio`` of those, the ones that lead their prompt without a gap, which is what a
    prefix cache without limit serves; ``cached_ratio`` the share of prompt tokens that a cache
    served when the trace was recorded. All null where the trace does not say.
    """

    path: str
    format: str
    files: int
    requests: int
    failed: int
    bad_rows: dict[str, int]
    out_of_order: int
    span_s: float
    requests_per_s: float | None
    prompt_tokens: LengthFacts
    output_tokens: LengthFacts
    sessions: int | None
    block_tokens: int | None
    blocks: int | None
    block_reuse_ratio: float | None
    prefix_reuse_ratio: float | None
    cached_ratio: float | None
    notes: tuple[str, ...]
