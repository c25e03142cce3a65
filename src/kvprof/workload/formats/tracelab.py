"""TraceLab: one round of a coding agent a line; its input is complete when the last part came."""

from kvprof.workload.format import Format, date_time

_INPUTS = "('user_message', 'tool_result')"

TRACELAB = Format(
    name="tracelab",
    summary="TraceLab JSONL: one round of a coding agent a line",
    kinds=frozenset({"jsonl"}),
    fields={
        "session_id": "VARCHAR",
        "input_tokens_total": "DOUBLE",
        "output_tokens": "DOUBLE",
        "prefix_tokens": "DOUBLE",
        "timing_events": [{"event_type": "VARCHAR", "timestamp": "VARCHAR"}],
    },
    marks=("session_id", "round_index", "input_tokens_total", "prefix_tokens", "timing_events"),
    arrival_ns=f"""coalesce(
        list_max(list_transform(
            list_filter(timing_events, lambda e: e.event_type IN {_INPUTS}),
            lambda e: {date_time("e.timestamp")})),
        list_min(list_transform(timing_events, lambda e: {date_time("e.timestamp")})))""",
    prompt_tokens="input_tokens_total",
    output_tokens="output_tokens",
    session="session_id",
    cached_tokens="prefix_tokens",
    notes=("A round arrives with the last message or tool result that it answers.",),
)
