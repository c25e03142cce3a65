"""RAGPulse: prompts put together from chunks of text, whose lengths lie in files beside it.

Chunks recur at other places of other prompts, so their ids are no prefix hashes. Those are made
here: a block belongs to the chunk that its last token lies in, and its hash is that of all chunks
up to there. Tokens that belong to no chunk come last and have no hash.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvprof.errors import TraceError
from kvprof.workload.database import Database, explained, name, quoted
from kvprof.workload.files import TraceFile, lines_sql, open_file
from kvprof.workload.format import Format, Head, seconds

BLOCK_TOKENS = 16
LONGEST_CHUNK_TOKENS = 512

_PARTS = ("sys_prompt", "passages_ids", "history", "web_search", "user_input")
_IDS = ("sys_prompt_id", "passage_id", "history_id", "user_input_id", "web_search_id")
_SIBLINGS = ("*sys_prompt*", "*passages*", "*history*", "*user_input*", "*web_search*")


def _is_component(head: Head) -> bool:
    return head.has("token_length") and any(head.has(id_) for id_ in _IDS)


def _prepare(
    database: Database, files: Sequence[TraceFile], side: Sequence[TraceFile]
) -> list[str]:
    """Read the lengths of the chunks, from the files beside the trace if none were given."""
    database.execute("CREATE TABLE chunks (id UBIGINT, tokens BIGINT)")
    side = list(side) or _siblings(database, files)
    for file in side:
        _read_lengths(database, file)
    (known,) = database.row("SELECT count(*) FROM chunks")
    database.execute(
        "CREATE TABLE chunk_tokens AS SELECT id, max(tokens) AS tokens FROM chunks GROUP BY id"
    )
    made = f"Prefix hashes of {BLOCK_TOKENS} tokens are made from the ids of the chunks."
    if known:
        return [made]
    database.execute("INSERT INTO chunk_tokens VALUES (NULL, NULL)")
    return [
        made,
        f"The chunks' lengths are not beside the trace: {LONGEST_CHUNK_TOKENS} tokens are taken "
        "for each, the longest that a chunk can be.",
    ]


def _siblings(database: Database, files: Sequence[TraceFile]) -> list[TraceFile]:
    folders = dict.fromkeys(file.path.parent for file in files)
    paths = [path for f in folders for pattern in _SIBLINGS for path in sorted(f.glob(pattern))]
    found = [open_file(database, path) for path in paths if path.is_file() and path.stat().st_size]
    return [file for file in found if _is_component(file.head)]


def _read_lengths(database: Database, file: TraceFile) -> None:
    id_ = next(id_ for id_ in _IDS if file.head.has(id_))
    with explained(file.path):
        database.execute(f"""INSERT INTO chunks SELECT j.{id_}, j.token_length FROM (
            SELECT CASE WHEN json_valid(line) THEN from_json(line,
                {quoted(f'{{"{id_}": "UBIGINT", "token_length": "BIGINT"}}')}) END AS j
            FROM {lines_sql(file.link, file.compression)} WHERE line IS NOT NULL)""")
    (bad,) = database.row(
        f"SELECT count(*) FROM chunks WHERE id IS NULL OR tokens IS NULL OR tokens < 0 "
        f"OR tokens > {LONGEST_CHUNK_TOKENS}"
    )
    if bad:
        raise TraceError(
            f"{file.path}: {bad} of its rows are no chunk with its length; "
            f"each is an object with {id_} and a token_length from 0 to {LONGEST_CHUNK_TOKENS}"
        )


_CHUNKS = ", ".join(f"coalesce(hash_ids.{name(part)}, [])" for part in _PARTS)
# Whether any length is known decides if a chunk without one is an error.
_KNOWN = "(SELECT count(id) > 0 FROM chunk_tokens)"
_LENGTH = f"CASE WHEN {_KNOWN} THEN tokens ELSE {LONGEST_CHUNK_TOKENS} END"

RAGPULSE = Format(
    name="ragpulse",
    summary="RAGPulse JSONL: timestamp (s), lengths, hash_ids of chunks; their lengths beside it",
    kinds=frozenset({"jsonl"}),
    fields={
        "timestamp": "DOUBLE",
        "input_length": "DOUBLE",
        "output_length": "DOUBLE",
        "hash_ids": {part: ["UBIGINT"] for part in _PARTS},
        "session_id": "VARCHAR",
    },
    marks=("timestamp", "input_length", "output_length", "session_id", "hash_ids.user_input"),
    rows=f"""(
        WITH numbered AS MATERIALIZED (
            SELECT *, row_number() OVER () AS line, flatten([{_CHUNKS}]) AS ids FROM {{fields}}
        ),
        parts AS (
            SELECT line, unnest(ids) AS id, generate_subscripts(ids, 1) AS ordinal FROM numbered
        ),
        sized AS (
            SELECT line, list({_LENGTH} ORDER BY ordinal) AS lengths
            FROM parts LEFT JOIN chunk_tokens USING (id) GROUP BY line
        )
        SELECT numbered.*, lengths, {_KNOWN} AS known, list_transform(lengths, lambda tokens, i:
            least(list_sum(lengths[1:i]), input_length)::BIGINT) AS ends
        FROM numbered LEFT JOIN sized USING (line) ORDER BY line
    )""",
    arrival_ns=seconds("timestamp"),
    prompt_tokens="input_length",
    output_tokens="output_length",
    session="session_id",
    hashes=f"""flatten(list_transform(ends, lambda tokens, i: list_transform(
        range(coalesce(ends[i - 1], 0) // {BLOCK_TOKENS}, tokens // {BLOCK_TOKENS}),
        lambda block: hash(ids[1:i], block))))""",
    wrong="""CASE WHEN len(lengths) > list_count(lengths)
            THEN 'a chunk whose length is in none of the files beside the trace'
        WHEN known AND list_sum(lengths) > input_length
            THEN 'chunks that are longer than the prompt' END""",
    block_tokens=str(BLOCK_TOKENS),
    side=_is_component,
    prepare=_prepare,
)
