"""vLLM's own KVCacheManager over the requests of a replay, token by token, in its own Python.

The scheduler's core of vLLM is plain Python; what it imports beside that (torch, the rest of vllm)
is stood in for by empty modules where it is not installed, so that an unpacked source distribution
is enough.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import logging
import sys
import time
import types
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

REAL = (
    *("block_pool", "kv_cache_manager", "kv_cache_coordinator", "single_type_kv_cache_manager"),
    *("kv_cache_utils", "kv_cache_planning", "kv_cache_metrics"),
)
PACKAGES = ("vllm", "vllm.v1", "vllm.v1.core", "vllm.utils")
MODULES = {
    *(f"vllm.v1.core.{name}" for name in REAL),
    *(f"vllm.v1.{name}" for name in ("kv_cache_interface", "kv_cache_layout")),
    "vllm.v1.kv_cache_spec_registry",
    "vllm.utils.math_utils",
}


class _AnyAttribute(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing(name)


def _nothing(name: str) -> type:
    return _AnyAttribute(name, (), {"__init__": lambda self, *a, **k: None})


class _Empty(types.ModuleType):
    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing(name)


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules for all of vllm that is not its scheduler's core, and for what it needs."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        top = fullname.partition(".")[0]
        absent = top in {"torch", "cbor2", "xxhash"} and not _installed(top)
        if fullname in MODULES or fullname in PACKAGES or not (top == "vllm" or absent):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


def _installed(name: str) -> bool:
    return importlib.machinery.PathFinder.find_spec(name) is not None


def load(source: Path) -> None:
    """Make ``vllm.v1.core`` of an unpacked source distribution importable."""
    for name in PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [str(source / name.replace(".", "/"))]
        sys.modules[name] = package
    logger = _Empty("vllm.logger")
    logger.init_logger = logging.getLogger  # type: ignore[attr-defined]
    sys.modules["vllm.logger"] = logger
    sys.meta_path.insert(0, _StandIns())


class ManagedRequest:
    """What the manager reads of a request."""

    num_in_flight_tokens = 0
    num_preemptions = 0
    skip_reading_prefix_cache = False
    num_encoder_inputs = 0
    has_encoder_inputs = False
    shared_prefix_boundary = 0
    status = None

    def __init__(self, name: str, prompt: int, output: int) -> None:
        self.request_id = name
        self.num_prompt_tokens = prompt
        self.num_tokens = prompt
        self.final_tokens = prompt + output
        self.num_computed_tokens = 0
        self.block_hashes: list[bytes] = []


def manager_of(num_blocks: int, block_size: int, longest: int) -> Any:
    """A manager of one group that keeps every token, without prefix caching."""
    from vllm.v1.core.kv_cache_manager import KVCacheManager  # noqa: PLC0415
    from vllm.v1.kv_cache_interface import (  # noqa: PLC0415
        FullAttentionSpec,
        KVCacheConfig,
        KVCacheGroupSpec,
    )

    spec = FullAttentionSpec(block_size=block_size, num_kv_heads=8, head_size=128, dtype=None)
    config = KVCacheConfig(num_blocks, [], [KVCacheGroupSpec(["layer"], spec)])
    return KVCacheManager(
        config,
        max_model_len=longest,
        scheduler_block_size=block_size,
        hash_block_size=block_size,
        enable_caching=False,
    )


def drive(
    manager: Any, arrivals: Sequence[int], prompts: Sequence[int], outputs: Sequence[int]
) -> dict[str, Any]:
    """The same clock as a replay's: growth in order of admission, then admission in turn.

    Returns
    -------
    Seconds in all, completed requests, preemptions, appended tokens.
    """
    coming: deque[tuple[int, ManagedRequest]] = deque(
        (step, ManagedRequest(str(i), prompt, output))
        for i, (step, prompt, output) in enumerate(zip(arrivals, prompts, outputs, strict=True))
    )
    waiting: deque[ManagedRequest] = deque()
    running: list[ManagedRequest] = []
    completed = preemptions = appended = clock = 0
    start = time.perf_counter()
    while coming or waiting or running:
        if not running and not waiting:
            clock = max(clock, coming[0][0])
        preempted = False
        index = 0
        while index < len(running):
            request = running[index]
            while manager.allocate_slots(request, 1) is None:
                preempted = True
                victim = running.pop()
                manager.free(victim)
                victim.num_computed_tokens = 0
                preemptions += 1
                waiting.appendleft(victim)
                if victim is request:
                    break
            else:
                request.num_computed_tokens += 1
                request.num_tokens += 1
                appended += 1
                index += 1
        while not preempted and (waiting or (coming and coming[0][0] <= clock)):
            request = waiting[0] if waiting else coming[0][1]
            if manager.allocate_slots(request, request.num_tokens) is None:
                break
            request.num_computed_tokens = request.num_tokens
            running.append(request)
            if waiting:
                waiting.popleft()
            else:
                coming.popleft()
        for request in running:
            if request.num_tokens >= request.final_tokens:
                manager.free(request)
                completed += 1
        running = [r for r in running if r.num_tokens < r.final_tokens]
        clock += 1
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "completed": completed,
        "preemptions": preemptions,
        "appended_tokens": appended,
    }


def steps(arrival_s: Any, steps_per_s: float) -> list[int]:
    """The steps at which requests arrive."""
    found: list[int] = np.ceil(np.asarray(arrival_s) * steps_per_s).astype(int).tolist()
    return found
