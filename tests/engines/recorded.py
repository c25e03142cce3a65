"""Plans that vLLM 0.33.0's own code made, where they are there: names, settings, the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kvprof.model import Model, config_model
from kvprof.size import Request

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PLANS = sorted((DATA / "vllm").glob("*.json"))
MEMORY_BYTES = 40 * 2**30


def recorded_plan(path: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return plan


def model_of(plan: dict[str, Any]) -> Model:
    folders = (DATA / "configs", DATA / "vllm" / "configs")
    found = (folder / plan["config_file"] for folder in folders)
    return config_model(str(next(path for path in found if path.exists())))


def requested(plan: dict[str, Any], max_model_len: int) -> Request:
    """The request that stands for a plan's settings."""
    arguments = plan["settings"]["engine_args"]
    names = {"enable_prefix_caching": "prefix_caching", "async_scheduling": "async_scheduling"}
    options = [("vllm", names[key], "off") for key in arguments if key in names]
    if arguments.get("disable_hybrid_kv_cache_manager"):
        options.append(("vllm", "hybrid_manager", "off"))
    return Request(
        tokens=1,
        max_model_len=max_model_len,
        memory_bytes=MEMORY_BYTES,
        block_size=arguments.get("block_size"),
        cache_dtype=arguments.get("kv_cache_dtype", "auto"),
        engine_options=tuple(options),
    )
