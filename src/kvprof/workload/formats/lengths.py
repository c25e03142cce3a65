"""Statistics of lengths, as Vidur and Sarathi-Serve keep them: no arrival times."""

from kvprof.workload.format import Format

LENGTHS = Format(
    name="lengths",
    summary="lengths only, CSV: num_prefill_tokens, num_decode_tokens; arrivals are supplied",
    fields={"num_prefill_tokens": "DOUBLE", "num_decode_tokens": "DOUBLE"},
    clock="none",
    prompt_tokens="num_prefill_tokens",
    output_tokens="num_decode_tokens",
)
