"""A start-up log of vLLM in, what it says of its cache out.

Lines are found by their words, whatever stands before them; the last of a kind counts. Formats are
those of vLLM 0.33.0 (v1/core/kv_cache_utils.py, v1/core/kv_cache_planning.py, v1/worker/
gpu_worker.py, v1/engine/core.py, platforms/interface.py) and of versions before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from kvprof.errors import UsageError
from kvprof.units import MAX_BYTES

MAX_LOG_BYTES = 64 * 2**20


class EngineLog(Struct, frozen=True, kw_only=True):
    """What a log says; None, or nothing, of what it does not say.

    Attributes
    ----------
    memory_gib
        As it is printed, to two decimals.
    padding
        ``(layers, percent)`` of each warning of phantom layers, percents as they are printed.
    """

    path: str
    version: str | None = None
    model: str | None = None
    cache_dtype: str | None = None
    max_model_len: int | None = None
    tensor_parallel: int | None = None
    max_batched_tokens: int | None = None
    speculative: int | None = None
    prefix_caching: bool | None = None
    memory_gib: Decimal | None = None
    num_blocks: int | None = None
    block_size: int | None = None
    group_block_sizes: tuple[int, ...] = ()
    state_padding_percent: str | None = None
    padding: tuple[tuple[int, str], ...] = ()
    capacity_tokens: int | None = None
    max_concurrency: str | None = None


def _whole(text: str) -> int:
    return min(int(text.replace(",", "")), MAX_BYTES)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(_whole, re.findall(r"\d+", text)))


_NUMBER = r"(\d[\d,]{0,23})"
_PATTERNS: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("version", r"LLM engine \(v([^)\s]{1,60})\) with config", str),
    ("model", r"with config: model='([^']{1,300})'", str),
    ("cache_dtype", r"\bkv_cache_dtype=([\w.]{1,40})", str),
    ("max_model_len", rf"\bmax_seq_len={_NUMBER}", _whole),
    ("tensor_parallel", rf"\btensor_parallel_size={_NUMBER}", _whole),
    ("speculative", rf"\bnum_spec_tokens={_NUMBER}", _whole),
    ("prefix_caching", r"\benable_prefix_caching=(True|False)", lambda text: text == "True"),
    ("max_batched_tokens", rf"\bmax_num_batched_tokens={_NUMBER}", _whole),
    ("memory_gib", r"[Aa]vailable KV cache memory: (\d{1,9}(?:\.\d{1,9})?) GiB", Decimal),
    ("num_blocks", rf"# GPU blocks: {_NUMBER}", _whole),
    ("num_blocks", rf"with num_gpu_blocks_override={_NUMBER}", _whole),
    ("block_size", rf"Setting kv cache block size to {_NUMBER}", _whole),
    ("block_size", rf"Setting attention block size to {_NUMBER} tokens", _whole),
    ("group_block_sizes", r"kv cache group sizes \(([\d, ]{1,2000})\)", _sizes),
    ("state_padding_percent", r"Padding mamba page size by ([\d.]{1,20})%", str),
    ("capacity_tokens", rf"KV cache size: {_NUMBER} tokens", _whole),
    ("max_model_len", rf"Maximum concurrency for {_NUMBER} tokens per request", _whole),
    (
        "max_concurrency",
        r"Maximum concurrency for [\d,]{1,24} tokens per request: (\d{1,15}(?:\.\d{1,6})?)x",
        str,
    ),
)
_PADDING = re.compile(r"Add (\d{1,9}) padding layers, may waste at most ([\d.]{1,20})%")
_KNOWN = tuple((name, re.compile(pattern), read) for name, pattern, read in _PATTERNS)
_OF_THE_CACHE = ("capacity_tokens", "max_concurrency", "memory_gib", "num_blocks", "block_size")


def read_log(path: Path) -> EngineLog:
    """What a log says.

    Raises
    ------
    UsageError
        When the file cannot be read, or says nothing of vLLM's cache.
    """
    return parse_log(_text(path), str(path))


def parse_log(text: str, path: str) -> EngineLog:
    """What the lines of a log say; ``path`` is what to call it. Raises as `read_log` does."""
    found: dict[str, Any] = {}
    padding: list[tuple[int, str]] = []
    for line in text.splitlines():
        for name, pattern, read in _KNOWN:
            if match := pattern.search(line):
                found[name] = read(match[1])
        padding += ((int(layers), percent) for layers, percent in _PADDING.findall(line))
    said = set(found) & {*_OF_THE_CACHE, "group_block_sizes", "state_padding_percent"}
    if not said and not padding:
        raise UsageError(
            f"--check-log {path!r}: none of its lines is vLLM's of a cache, such as "
            "'GPU KV cache size: 163,840 tokens'",
            hint="Give the start-up log of the server, at the level INFO.",
        )
    return EngineLog(path=path, padding=tuple(dict.fromkeys(padding)), **found)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_LOG_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--check-log {str(path)!r} cannot be read: {reason}") from None
    if len(raw) > MAX_LOG_BYTES:
        raise UsageError(
            f"--check-log {str(path)!r} is larger than {MAX_LOG_BYTES} bytes",
            hint="Give its first part: the lines up to the first request.",
        )
    return raw.decode("utf-8", errors="replace")
