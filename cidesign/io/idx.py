"""Arrays in idx files (MNIST, Fashion-MNIST, EMNIST), plain or in gzip.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits": two bytes of 0, the type, the
number of axes, the length of each axis as a big-endian 32-bit number, and the values, big-endian, last axis fastest.
"""

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, first_line
from cidesign.files import MAX_ARRAY_BYTES

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_AXES = 8
# How such files are named: train-images-idx3-ubyte, t10k-labels.idx1-ubyte.gz, x.idx
NAMED = re.compile(r"(^|[-._])idx\d?([-._](u?byte|short|int|float|double))?(\.gz)?$", re.IGNORECASE)
GZIP = b"\x1f\x8b"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    size_bytes: int


def is_idx(path: Path) -> bool:
    """Whether a file is one of idx by its name, or, where the name says nothing, by its first bytes."""
    if NAMED.search(path.name):
        return True
    if path.suffix.lower() not in ("", ".gz") or path.name.lower().endswith(".nii.gz"):
        return False
    try:
        with _unpacked(path) as stream:
            return _header(path, stream) is not None
    except (OSError, EOFError, zlib.error, FileError):
        return False


def read_idx(path: Path) -> NDArray[np.generic]:
    """The array of an idx file, in the byte order of this machine.

    Its length must be what the header declares, and is checked before memory is taken for more than what is there.
    Raises `FileError` for another format, and for a file cut short or too long, with both sizes.
    """
    try:
        with _unpacked(path) as stream:
            header = _header(path, stream)
            if header is None:
                raise FileError(f"{path}: no idx file: it does not begin with two zeros, a type and a number of axes")
            content, found = _content(stream, header.size_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path}: this idx file cannot be read ({first_line(error)})") from error
    if found != header.size_bytes:
        shape = " x ".join(str(length) for length in header.shape)
        declared = f"{path}: declares {shape} values, {header.size_bytes} bytes, but holds"
        if found > header.size_bytes:
            raise FileError(f"{declared} more than that; is it another format?")
        raise FileError(f"{declared} only {found}; it is cut off, copy it again")
    values = np.frombuffer(content, dtype=header.dtype).reshape(header.shape)
    return values.astype(header.dtype.newbyteorder("="))


def labels_beside(path: Path) -> Path | None:
    """The file of labels that belongs to a file of images by its name, if it is there; packed or not."""
    stem = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    name = re.sub(r"idx\d", "idx1", re.sub("image", "label", stem, flags=re.IGNORECASE), flags=re.IGNORECASE)
    if name == stem:
        return None
    candidates = [path.with_name(name), path.with_name(name + ".gz")]
    return next((one for one in candidates if one.is_file()), None)


@contextmanager
def _unpacked(path: Path) -> Iterator[BufferedReader]:
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield cast(BufferedReader, stream)


def _header(path: Path, stream: BufferedReader) -> _Header | None:
    """None for another format; raises `FileError` for axes that cannot be."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= MAX_AXES:
        return None
    lengths = stream.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise FileError(f"{path}: its header declares {magic[3]} axes and ends after {4 + len(lengths)} bytes")
    shape = struct.unpack(f">{magic[3]}I", lengths)
    dtype: np.dtype[np.generic] = np.dtype(TYPES[magic[2]])
    size_bytes = math.prod(shape) * dtype.itemsize
    if size_bytes > MAX_ARRAY_BYTES or min(shape) < 1:
        raise FileError(
            f"{path}: declares {shape} of {dtype.name}, {size_bytes} bytes; 1 to {MAX_ARRAY_BYTES} are read"
        )
    return _Header(dtype, shape, size_bytes)


def _content(stream: BufferedReader, wanted: int) -> tuple[bytes, int]:
    """Up to one byte more than `wanted`, as much as there is, and how much that is."""
    parts: list[bytes] = []
    found = 0
    # A gzip file that is cut off ends in an EOFError: what came before is counted.
    with suppress(EOFError):
        while found <= wanted and (part := stream.read1(min(CHUNK_BYTES, wanted + 1 - found))):
            parts.append(part)
            found += len(part)
    return b"".join(parts), found
