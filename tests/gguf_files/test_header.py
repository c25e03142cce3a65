"""The header of GGUF files: cut off, in parts, of the other byte order, and hostile."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFEndian, GGUFReader, GGUFWriter
from gguf.quants import quantize

from kvprof.errors import ConfigError, UsageError
from kvprof.gguf.header import MAX_HEADER_BYTES, read_header
from kvprof.memory import weights_bytes
from kvprof.model import config_model

LLAMA: dict[str, Any] = {
    "block_count": 4,
    "embedding_length": 256,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
}
TENSORS = {
    "token_embd.weight": np.zeros((100, 64), np.float16),
    "blk.0.attn_k.weight": np.zeros((16, 64), np.float32),
}
TENSOR_BYTES = 100 * 64 * 2 + 16 * 64 * 4


def elements_per_token(path: Path) -> int:
    layout = config_model(str(path)).layout
    return sum(np.prod(f.shape) for layer in layout.layers for c in layer.owns for f in c.fields)


def header_bytes(path: Path) -> int:
    return GGUFReader(path).data_offset


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def test_data_may_be_missing(write):
    path = write("llama", LLAMA, tensors=TENSORS)
    cut(path, header_bytes(path))
    assert elements_per_token(path) == 4 * 2 * 2 * 32
    assert weights_bytes("auto", config_model(str(path))) == TENSOR_BYTES


def test_tensors_may_be_missing_but_then_nothing_says_how_large_they_are(write):
    path = write("llama", LLAMA, tensors=TENSORS)
    cut(path, header_bytes(path) - 60)
    model = config_model(str(path))
    assert elements_per_token(path) == 4 * 2 * 2 * 32
    with pytest.raises(UsageError, match="its header ends before the last tensor"):
        weights_bytes("auto", model)


def test_metadata_must_be_whole(write):
    """Wherever it is cut: the last key of the file may be the one that matters."""
    path = write("llama", LLAMA)
    whole = path.read_bytes()
    for size in range(0, len(whole) - 40, 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ConfigError, match=r"ends after|not valid JSON|not a text file"):
            config_model(str(path))


def test_the_other_byte_order(write):
    path = write("llama", LLAMA, tensors=TENSORS, endianess=GGUFEndian.BIG)
    assert elements_per_token(path) == 4 * 2 * 2 * 32
    assert weights_bytes("auto", config_model(str(path))) == TENSOR_BYTES


def test_quantised_tensors(write, tmp_path):
    writer = GGUFWriter(tmp_path / "q.gguf", "llama")
    for key, value in LLAMA.items():
        writer.add_uint32(f"llama.{key}", value)
    values = quantize(np.zeros((4, 64), np.float32), GGMLQuantizationType.Q8_0)
    writer.add_tensor("output.weight", values, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    # 34 bytes for 32 elements
    assert weights_bytes("auto", config_model(str(tmp_path / "q.gguf"))) == 4 * 64 // 32 * 34


def sharded(write, *, first: bool = True, second: bool = True) -> tuple[Path, Path]:
    """As llama-gguf-split writes them: all metadata in the first, their own tensors in each."""

    def part(number: int) -> dict[str, Any]:
        return {"split.no": number, "split.count": 2, "split.tensors.count": 2}

    names = [f"big-{number:05}-of-00002.gguf" for number in (1, 2)]
    (one, two) = ({name: array} for name, array in TENSORS.items())
    paths = (
        write("llama", LLAMA, tensors=one, name=names[0], others=part(0)),
        write("llama", {}, tensors=two, name=names[1], others=part(1)),
    )
    for path, there in zip(paths, (first, second), strict=True):
        if not there:
            path.unlink()
    return paths


@pytest.mark.parametrize("given", [0, 1])
def test_any_part_of_a_model_names_it(write, given):
    path = sharded(write)[given]
    model = config_model(str(path))
    assert model.config.name == "big"
    assert elements_per_token(path) == 4 * 2 * 2 * 32
    assert weights_bytes("auto", model) == TENSOR_BYTES


def test_the_first_part_says_what_is_kept_though_the_others_are_missing(write):
    path = sharded(write, second=False)[0]
    assert elements_per_token(path) == 4 * 2 * 2 * 32
    with pytest.raises(UsageError, match="00002-of-00002"):
        weights_bytes("auto", config_model(str(path)))


def test_a_later_part_without_the_first(write):
    path = sharded(write, first=False)[1]
    with pytest.raises(ConfigError, match="00001-of-00002"):
        config_model(str(path))
    renamed = path.rename(path.with_name("renamed.gguf"))
    with pytest.raises(ConfigError, match="a later part of a model"):
        config_model(str(renamed))


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def file(entries: bytes, *, count: int = 1, tensors: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, count) + entries


KEY = string(b"general.architecture")
BOUND = MAX_HEADER_BYTES

HOSTILE = {
    "version 1": (file(b"", version=1), "is GGUF version 1"),
    "entries": (file(b"", count=2**63), "metadata entries"),
    "tensors": (file(b"", count=0, tensors=2**40), "tensors"),
    "key": (file(struct.pack("<Q", 2**62)), "has a name of"),
    "text": (file(KEY + struct.pack("<IQ", 8, 2**62)), "beyond"),
    "numbers": (file(KEY + struct.pack("<IIQ", 9, 4, 2**62)), "beyond"),
    "texts": (file(KEY + struct.pack("<IIQ", 9, 8, 2**62) + string(b"a") * 9), "ends after"),
    "a text among them": (file(KEY + struct.pack("<IIQQ", 9, 8, 2**62, 2**62)), "beyond"),
    "negative": (file(KEY + struct.pack("<IIq", 9, 4, -1)), "beyond"),
    "type": (file(KEY + struct.pack("<I", 77)), "type 77"),
    "list of lists": (file(KEY + struct.pack("<IIQ", 9, 9, 1)), "type 9"),
    "twice": (file((KEY + struct.pack("<IB", 7, 1)) * 2, count=2), "twice"),
    "dimensions": (file(string(b"t") + struct.pack("<I", 2**31), count=0, tensors=1), "dimensions"),
    "no architecture": (file(b"", count=0), "has no general.architecture"),
    "an odd architecture": (file(KEY + struct.pack("<IB", 7, 1)), "has no general.architecture"),
    "terminal": (file(KEY + struct.pack("<I", 8) + string(b"a\x1b[31m")), "none that is a name"),
    "no text": (file(KEY + struct.pack("<I", 8) + string(b"\xff\xfe\x1b[31m")), "has no"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(tmp_path, name):
    content, said = HOSTILE[name]
    (tmp_path / "hostile.gguf").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        config_model(str(tmp_path / "hostile.gguf"))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_of_one_endless_text_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "sparse.gguf"
    path.write_bytes(file(KEY + struct.pack("<IQ", 8, 2**39)))
    with path.open("r+b") as stream:
        stream.truncate(2**40)  # a hole, which takes no disk
    with pytest.raises(ConfigError, match="beyond"):
        config_model(str(path))


def test_agrees_with_the_package(write):
    path = write("llama", LLAMA, tensors=TENSORS)
    header, theirs = read_header(path), GGUFReader(path)
    assert header.tensors == {tensor.name: tensor.n_bytes for tensor in theirs.tensors}
    for key, value in header.metadata.items():
        found = theirs.fields[key].contents()
        assert (list(value) if isinstance(value, tuple) else value) == found
    assert {key for key in theirs.fields if not key.startswith("GGUF.")} == set(header.metadata)
