"""Coverage-guided fuzzing of config.json: from bytes to a result of every engine.

    python tests/fuzz/fuzz_config.py -max_total_time=60 [FOLDER]

FOLDER keeps what it finds between runs. It fails on what is no KvprofError, on a plugin's failure
(the built-in ones are ours), on 5 seconds of the processor for one input, and above 1 GiB.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["kvprof"]):
    from running import fuzz, size_everywhere

    from kvprof.catalogue import read_catalogue
    from kvprof.config import ModelConfig
    from kvprof.config_file import LANGUAGE_SECTIONS, decode_config
    from kvprof.layer_words import KIND_WORDS
    from kvprof.spellings import SPELLINGS

SEEDS = [json.dumps(model.config).encode() for model in read_catalogue()]


def one(data: bytes) -> None:
    size_everywhere(lambda: decode_config(data, name="fuzzed", source="fuzzed"))


def asked_for() -> set[str]:
    """The fields that are looked for when the seeds are read."""
    names: set[str] = set()
    value = ModelConfig.value

    def noted(config: ModelConfig, name: str) -> Any:
        names.add(name)
        return value(config, name)

    ModelConfig.value = noted
    for seed in SEEDS:
        one(seed)
    ModelConfig.value = value
    return names


FIELDS = sorted(
    {name for names in SPELLINGS.values() for name in names}
    | {name for model in read_catalogue() for name in model.config}
    | {name.partition(".")[0] for name in asked_for()}
    | {*LANGUAGE_SECTIONS, "is_encoder_decoder", "dtype", "layer_types"}
)
WORDS = sorted({*KIND_WORDS, "bfloat16", "float8_e4m3fn", "auto", "shared", "full"})
NUMBERS = [0, 1, -1, 2, 3, 7, 16, 64, 128, 4096, 9_999, 10_001, 2**31 - 1, 2**31, 2**63, 10**400]
ODD = [None, True, False, "", 0.5, 1e30, float("nan"), float("inf"), -0.0, [], {}, "9" * 5_000]


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8)
    if kind < 3:
        return chance.choice(NUMBERS)
    if kind == 3:
        return chance.choice(ODD)
    if kind == 4 or depth > 3:
        return chance.choice(WORDS)
    if kind == 5:
        return [chance.choice([*WORDS, *NUMBERS])] * chance.choice([1, 2, 32, 62, 10_001])
    if kind == 6:
        return [value(chance, depth + 1) for _ in range(chance.randrange(9))]
    return {chance.choice(FIELDS): value(chance, depth + 1) for _ in range(chance.randrange(4))}


def changed(document: Any, chance: random.Random) -> Any:
    """The document with a field added, changed or taken away, at any depth."""
    if isinstance(document, list) and document:
        index = chance.randrange(len(document))
        return [*document[:index], changed(document[index], chance), *document[index + 1 :]]
    if not isinstance(document, dict):
        return value(chance)
    fields = dict(document)
    name = chance.choice([*fields, *([chance.choice(FIELDS)] * 3)])
    how = chance.randrange(4)
    if how == 0:
        fields.pop(name, None)
    elif how == 1 and name in fields:
        fields[name] = changed(fields[name], chance)
    elif how == 2 and chance.randrange(8) == 0:
        return {chance.choice(LANGUAGE_SECTIONS): fields}
    else:
        fields[name] = value(chance)
    return fields


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Half of the time fields are changed, else bytes."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        return atheris.Mutate(data, most)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = json.loads(chance.choice(SEEDS))
    for _ in range(chance.randrange(1, 4)):
        document = changed(document, chance)
    return json.dumps(document).encode()[:most]


if __name__ == "__main__":
    fuzz(one, SEEDS, sys.argv, mutate)
