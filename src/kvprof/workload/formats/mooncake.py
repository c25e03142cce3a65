"""Mooncake (FAST'25): one object a line, milliseconds from the start, chained 512-token blocks."""

from kvprof.workload.format import Format

MOONCAKE = Format(
    name="mooncake",
    summary="Mooncake JSONL: timestamp (ms), input_length, output_length, hash_ids of 512 tokens",
    fields={
        "timestamp": "DOUBLE",
        "input_length": "DOUBLE",
        "output_length": "DOUBLE",
        "hash_ids": ["UBIGINT"],
    },
    arrival_ns="round(timestamp * 1e6)",
    prompt_tokens="input_length",
    output_tokens="output_length",
    hashes="hash_ids",
    hashed=True,
    block_tokens="512",
    rounding="ceil",
)
