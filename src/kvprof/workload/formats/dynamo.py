"""Dynamo's request trace, version 1: events, of which those that end a request tell of it.

The time of an event is the end; the request was received earlier. Hashes are unsigned 64-bit.
"""

from kvprof.workload.format import Format

DYNAMO = Format(
    name="dynamo",
    summary="Dynamo request trace JSONL (dynamo.request.trace.v1)",
    kinds=frozenset({"jsonl"}),
    fields={
        "event": {
            "event_type": "VARCHAR",
            "agent_context": {"session_id": "VARCHAR"},
            "request": {
                "input_tokens": "DOUBLE",
                "output_tokens": "DOUBLE",
                "cached_tokens": "DOUBLE",
                "request_received_ms": "BIGINT",
                "replay": {"trace_block_size": "DOUBLE", "input_sequence_hashes": ["UBIGINT"]},
            },
        }
    },
    marks=("event.schema", "event.event_type"),
    ignored="event.event_type <> 'request_end'",
    arrival_ns="event.request.request_received_ms::HUGEINT * 1000000",
    prompt_tokens="event.request.input_tokens",
    output_tokens="event.request.output_tokens",
    session="event.agent_context.session_id",
    hashes="event.request.replay.input_sequence_hashes",
    block_tokens="event.request.replay.trace_block_size",
    rounding="ceil",
    cached_tokens="event.request.cached_tokens",
)
