"""Azure's LLM inference traces of 2023 and 2024: dates with 6 or 7 digits, with or without zone."""

from kvprof.workload.format import Format, date_time

AZURE = Format(
    name="azure",
    summary="Azure 2023 and 2024 CSV: TIMESTAMP, ContextTokens, GeneratedTokens",
    fields={"TIMESTAMP": "VARCHAR", "ContextTokens": "DOUBLE", "GeneratedTokens": "DOUBLE"},
    arrival_ns=date_time('"TIMESTAMP"'),
    prompt_tokens='"ContextTokens"',
    output_tokens='"GeneratedTokens"',
)
