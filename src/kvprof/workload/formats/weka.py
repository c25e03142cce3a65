"""Coding agents' sessions, one document each (kv-cache-tester, Weka); sub-agents lie inside.

Times count from the start of the session, a sub-agent's from its own; hashes mean something in
their session only, and only full blocks have one.
"""

from kvprof.workload.format import Format, seconds

_REQUEST = {"t": "DOUBLE", "type": "VARCHAR", "in": "DOUBLE", "out": "DOUBLE"}
_HASHED = _REQUEST | {"hash_ids": ["UBIGINT"]}

WEKA = Format(
    name="weka",
    summary="Weka / kv-cache-tester: a folder of sessions, one JSON document each",
    kinds=frozenset({"json", "jsonl"}),
    document=True,
    fields={
        "id": "VARCHAR",
        "block_size": "DOUBLE",
        "hash_id_scope": "VARCHAR",
        "requests": [_HASHED | {"agent_id": "VARCHAR", "requests": [_HASHED]}],
    },
    marks=("hash_id_scope", "block_size", "requests"),
    rows="""(
        SELECT bad, block_size, hash_id_scope, outer_request.agent_id AS agent,
            CASE WHEN outer_request.requests IS NULL THEN 0 ELSE outer_request.t END AS start,
            unnest(CASE WHEN outer_request.requests IS NULL THEN [{
                't': outer_request.t, 'type': outer_request.type, 'in': outer_request."in",
                'out': outer_request."out", 'hash_ids': outer_request.hash_ids
            }] ELSE outer_request.requests END) AS request
        FROM (SELECT bad, block_size, hash_id_scope, unnest(requests) AS outer_request
              FROM {fields})
    )""",
    clock="session",
    scope="{file}",
    arrival_ns=seconds("(start + request.t)"),
    prompt_tokens='request."in"',
    output_tokens='request."out"',
    session="{file} || '/' || coalesce(agent, '')",
    hashes="""CASE WHEN hash_id_scope = 'local'
        THEN list_transform(request.hash_ids, lambda h:
            CASE WHEN h < 4294967296 THEN {file}::UBIGINT * 4294967296 + h END)
        ELSE request.hash_ids END""",
    hashed=True,
    block_tokens="block_size",
    rounding="floor",
    notes=("Each session has its own prefix hashes: nothing is shared between sessions.",),
)
