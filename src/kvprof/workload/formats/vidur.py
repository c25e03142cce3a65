"""Vidur's processed traces: seconds from the start."""

from kvprof.workload.format import Format, seconds

VIDUR = Format(
    name="vidur",
    summary="Vidur CSV: arrived_at (s), num_prefill_tokens, num_decode_tokens",
    fields={"arrived_at": "DOUBLE", "num_prefill_tokens": "DOUBLE", "num_decode_tokens": "DOUBLE"},
    arrival_ns=seconds("arrived_at"),
    prompt_tokens="num_prefill_tokens",
    output_tokens="num_decode_tokens",
)
