"""LLMServingSim: a request a line, or a session whose requests follow each other."""

from kvprof.workload.format import Format

LLMSERVINGSIM = Format(
    name="llmservingsim",
    summary="LLMServingSim JSONL: arrival_time_ns, input_toks, output_toks, or sub_requests",
    fields={
        "arrival_time_ns": "BIGINT",
        "input_toks": "DOUBLE",
        "output_toks": "DOUBLE",
        "session_id": "VARCHAR",
        "sub_requests": [
            {"input_toks": "DOUBLE", "output_toks": "DOUBLE", "tool_duration_ns": "DOUBLE"}
        ],
    },
    marks=("arrival_time_ns",),
    recognises=lambda head: (
        head.has("arrival_time_ns") and (head.has("input_toks") or head.has("sub_requests"))
    ),
    optional=frozenset({"input_toks", "output_toks", "session_id", "sub_requests"}),
    # A request starts when the one before it has ended and its tool has run. Only the tool's time
    # is known before a replay.
    rows="""(
        SELECT * EXCLUDE (steps),
            unnest(steps) AS step,
            generate_subscripts(steps, 1) AS ordinal,
            list_transform(steps, lambda s: coalesce(s.tool_duration_ns, 0)) AS tools
        FROM (
            SELECT *, row_number() OVER () AS line,
                CASE WHEN len(sub_requests) > 0 THEN sub_requests ELSE [{
                    'input_toks': input_toks, 'output_toks': output_toks, 'tool_duration_ns': 0.0
                }] END AS steps
            FROM {fields}
        )
    )""",
    line="line",
    arrival_ns="arrival_time_ns::HUGEINT + coalesce(list_sum(tools[1:ordinal - 1]), 0)::HUGEINT",
    prompt_tokens="step.input_toks",
    output_tokens="step.output_toks",
    session="CASE WHEN len(sub_requests) > 0 THEN coalesce(session_id, 'line ' || line) END",
    notes=(
        "Requests of one session arrive when the tools before them have run: the time that a "
        "device takes for the earlier requests is not in the trace.",
    ),
)
