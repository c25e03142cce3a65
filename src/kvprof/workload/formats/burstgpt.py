"""BurstGPT (KDD'25), versions 1 to 3: later ones insert a session and an elapsed time.

Columns are read by name. A request that failed has 0 response tokens.
"""

from kvprof.workload.format import Format, seconds

BURSTGPT = Format(
    name="burstgpt",
    summary="BurstGPT CSV, v1 to v3: Timestamp (s), Request tokens, Response tokens",
    fields={
        "Timestamp": "DOUBLE",
        "Request tokens": "DOUBLE",
        "Response tokens": "DOUBLE",
        "Session ID": "VARCHAR",
    },
    optional=frozenset({"Session ID"}),
    arrival_ns=seconds('"Timestamp"'),
    prompt_tokens='"Request tokens"',
    output_tokens='"Response tokens"',
    session='"Session ID"',
    failed='"Response tokens" = 0',
)
