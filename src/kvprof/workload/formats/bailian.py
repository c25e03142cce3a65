"""Qwen-Bailian (Alibaba): turns of chats, each with the turn before it; 16-token blocks."""

from kvprof.workload.format import Format, seconds

BAILIAN = Format(
    name="bailian",
    summary="Qwen-Bailian JSONL: chat_id, parent_chat_id, timestamp (s), hash_ids of 16 tokens",
    fields={
        "chat_id": "BIGINT",
        "parent_chat_id": "BIGINT",
        "timestamp": "DOUBLE",
        "input_length": "DOUBLE",
        "output_length": "DOUBLE",
        "hash_ids": ["UBIGINT"],
    },
    # A session is a chain of turns, named by the first that the file holds.
    rows="""(
        WITH RECURSIVE
        numbered AS MATERIALIZED (SELECT *, row_number() OVER () AS line FROM {fields}),
        chain AS (
            SELECT chat_id, chat_id AS root FROM numbered
            WHERE parent_chat_id NOT IN
                (SELECT chat_id FROM numbered WHERE chat_id IS NOT NULL)
            UNION
            SELECT numbered.chat_id, root FROM numbered
            JOIN chain ON numbered.parent_chat_id = chain.chat_id
        )
        SELECT numbered.*, root FROM numbered
        LEFT JOIN (SELECT chat_id, min(root) AS root FROM chain GROUP BY chat_id) USING (chat_id)
        ORDER BY line
    )""",
    arrival_ns=seconds("timestamp"),
    prompt_tokens="input_length",
    output_tokens="output_length",
    session="coalesce(root, chat_id)::VARCHAR",
    hashes="hash_ids",
    hashed=True,
    block_tokens="16",
    rounding="ceil",
)
