"""kvprof's own: a CSV, JSONL or Parquet file whose columns are named as the canonical table's."""

from kvprof.workload.format import Format, seconds

PLAIN = Format(
    name="plain",
    summary="CSV, JSONL or Parquet: arrival_s, prompt_tokens, output_tokens, and optionally "
    "session_id, prefix_hashes, block_tokens",
    fields={
        "arrival_s": "DOUBLE",
        "prompt_tokens": "DOUBLE",
        "output_tokens": "DOUBLE",
        "session_id": "VARCHAR",
        "prefix_hashes": ["UBIGINT"],
        "block_tokens": "DOUBLE",
    },
    optional=frozenset({"session_id", "prefix_hashes", "block_tokens"}),
    arrival_ns=seconds("arrival_s"),
    prompt_tokens="prompt_tokens",
    output_tokens="output_tokens",
    session="session_id",
    hashes="prefix_hashes",
    block_tokens="coalesce(block_tokens, 16)",
    rounding="either",
)
