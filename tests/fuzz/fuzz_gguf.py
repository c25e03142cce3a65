"""Coverage-guided fuzzing of GGUF files: from bytes to a result of every engine.

    python tests/fuzz/fuzz_gguf.py -max_total_time=60 [FOLDER]

As `fuzz_config.py`; half of the inputs are files that are well formed and say odd things.
"""

from __future__ import annotations

import os
import random
import runpy
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["kvprof"]):
    from running import fuzz, size_everywhere

    from kvprof.gguf.config import KEEPING_KEYS, PLAIN_KEYS, gguf_config
    from kvprof.gguf.families import FAMILIES

_DATA = runpy.run_path(str(Path(__file__).parents[1] / "gguf_files" / "models.py"))
MODELS: dict[str, tuple[str, dict[str, Any]]] = _DATA["MODELS"]
KEYS = sorted({*KEEPING_KEYS, *PLAIN_KEYS, *(key for _, keys in MODELS.values() for key in keys)})
ODD = [0, 1, 2, 3, 64, 8192, 10_001, 2**31, 2**63, -1, 0.5, True, False, "", "full", "many" * 99]


def seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [
            _DATA["write_gguf"](Path(folder) / name, *model, vocabulary=1).read_bytes()
            for name, model in MODELS.items()
        ]


SEEDS = seeds()


def packed(value: Any) -> bytes:
    """A value with its type before it."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<IQ", 8, len(value)) + value.encode()
    if isinstance(value, list):
        items = [packed(item) for item in value]
        kind = items[0][:4] if items else struct.pack("<I", 4)
        return (
            struct.pack("<I", 9)
            + kind
            + struct.pack("<Q", len(items))
            + b"".join(item[4:] for item in items)
        )
    return struct.pack("<Iq", 11, value) if value < 2**63 else struct.pack("<IQ", 10, value)


def file(architecture: str, keys: dict[str, Any]) -> bytes:
    entries = {"general.architecture": architecture}
    entries |= {f"{architecture}.{key}": value for key, value in keys.items()}
    body = b"".join(
        struct.pack("<Q", len(key)) + key.encode() + packed(value) for key, value in entries.items()
    )
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + body


def mutate(data: bytes, most: int, seed: int) -> bytes:
    chance = random.Random(seed)
    if chance.random() < 0.5:
        return atheris.Mutate(data, most)
    architecture, keys = chance.choice(list(MODELS.values()))
    if chance.random() < 0.3:
        architecture = chance.choice([*FAMILIES, "unknown"])
    keys = dict(keys)
    for _ in range(chance.randrange(1, 5)):
        key = chance.choice([*keys, chance.choice(KEYS)])
        how = chance.randrange(4)
        if how == 0:
            keys.pop(key, None)
        elif how == 1:
            keys[key] = [chance.choice(ODD[:9])] * chance.choice([0, 1, 8, 64, 200])
        else:
            keys[key] = chance.choice(ODD)
    return file(architecture, keys)[:most]


DESCRIPTOR = os.memfd_create("fuzzed")
PATH = Path(f"/proc/self/fd/{DESCRIPTOR}")


def one(data: bytes) -> None:
    os.ftruncate(DESCRIPTOR, 0)
    os.pwrite(DESCRIPTOR, data, 0)
    size_everywhere(lambda: gguf_config(PATH))


if __name__ == "__main__":
    fuzz(one, SEEDS, sys.argv, mutate)
