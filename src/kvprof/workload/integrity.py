"""Whether a compressed file is whole: readers take one that is cut or damaged for a short one."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import BinaryIO

from kvprof.errors import TraceError

_READ_BYTES = 2**20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"
_RLE_BLOCK = 1


def check_whole(path: Path, compression: str) -> None:
    """Decompress a gzip file against its checksums; walk the frames of a zstd file to their end.

    Raises
    ------
    TraceError
        When the file is cut or damaged.
    """
    try:
        if compression == "gzip":
            with gzip.open(path) as stream:
                while stream.read(_READ_BYTES):
                    pass
        elif compression == "zstd":
            with path.open("rb") as file:
                _walk_zstd(file, path.stat().st_size)
    except EOFError:
        raise TraceError(
            f"{path}: the {compression} file is cut off in the middle",
            hint="Fetch the file again; its end is missing.",
        ) from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(
            f"{path}: the {compression} file is damaged: {error}", hint="Fetch the file again."
        ) from None


def _walk_zstd(file: BinaryIO, size: int) -> None:
    """Frames as RFC 8878, section 3.1, lays them down; blocks are skipped by their sizes."""
    while magic := file.read(4):
        if magic[1:] == _SKIPPABLE and magic[0] >> 4 == 5:
            _skip(file, int.from_bytes(_exactly(file, 4), "little"), size)
        elif magic == _ZSTD_MAGIC:
            _walk_frame(file, size)
        elif len(magic) < 4:
            raise EOFError
        else:
            raise gzip.BadGzipFile("what follows a frame is none")


def _walk_frame(file: BinaryIO, size: int) -> None:
    descriptor = _exactly(file, 1)[0]
    single_segment, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
    dictionary_id = (0, 1, 2, 4)[descriptor & 3]
    _skip(file, (1 - single_segment) + dictionary_id + content_size, size)
    last = 0
    while not last:
        header = int.from_bytes(_exactly(file, 3), "little")
        last, kind, length = header & 1, header >> 1 & 3, header >> 3
        _skip(file, 1 if kind == _RLE_BLOCK else length, size)
    _skip(file, 4 * checksum, size)


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise EOFError
    return found


def _skip(file: BinaryIO, count: int, size: int) -> None:
    if file.seek(count, os.SEEK_CUR) > size:
        raise EOFError
