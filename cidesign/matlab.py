"""Numeric matrices from MATLAB 5 to 7 files (.mat).

A reader of its own, because a damaged file can crash the process inside SciPy's compiled one.  Format: MathWorks,
"MAT-File Format", level 5.  Cells, structures, sparse, complex and character arrays are named, not read.
"""

import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import read_limited
from cidesign.records import shown

MAX_MAT_BYTES = 256_000_000
MAX_INFLATED_BYTES = 512_000_000
HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
COMPLEX_FLAG = 0x0800
STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque"}
NUMERIC_CLASSES = range(6, 16)


class _Element(NamedTuple):
    kind: int
    content: memoryview


class _Matrix(NamedTuple):
    name: str
    described: str
    values: NDArray[np.generic] | None


def read_matrices(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Read the real numeric matrices `names` from a .mat file, in the type they are stored in.

    Raises `FileError` when the file is damaged or of version 7.3, or lacks one of them.
    """
    found = _read(path, names)
    matrices = {}
    for name in names:
        if name not in found:
            raise FileError(f"{path}: holds no variable `{name}`, only {shown(sorted(found))}")
        values = found[name].values
        if values is None:
            raise FileError(f"{path}: `{name}` is {found[name].described}; a real numeric matrix is needed")
        matrices[name] = values
    return matrices


def read_every_matrix(path: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """All real numeric matrices of a .mat file by name, and what the other variables are.

    Raises `FileError` when the file is damaged or of version 7.3.
    """
    found = _read(path, None)
    matrices = {name: matrix.values for name, matrix in found.items() if matrix.values is not None}
    return matrices, {name: matrix.described for name, matrix in found.items() if matrix.values is None}


def _read(path: Path, names: tuple[str, ...] | None) -> dict[str, _Matrix]:
    content = read_limited(path, "MATLAB file", MAX_MAT_BYTES)
    try:
        return {matrix.name: matrix for matrix in _matrices(content, names)}
    except _Damaged as error:
        raise FileError(f"{path}: not a sound MATLAB file ({error})") from error


class _Damaged(Exception):
    """What is wrong with the file; `_read` adds its name."""


def _matrices(content: bytes, names: tuple[str, ...] | None) -> Iterator[_Matrix]:
    if len(content) < HEADER_BYTES:
        raise _Damaged(f"{len(content)} bytes are less than its header")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise _Damaged("its header does not say in which byte order it was written")
    (version,) = struct.unpack(order + "H", content[124:126])
    if version != 0x0100:
        advice = "; save with -v7 or older" if version == 0x0200 else ""
        raise _Damaged(f"version {version >> 8}.{version & 255}{advice}")
    left = MAX_INFLATED_BYTES
    for element in _elements(memoryview(content)[HEADER_BYTES:], order):
        parts = [element]
        if element.kind == COMPRESSED:
            inflated = _inflate(element.content, left)
            left -= len(inflated)
            parts = list(_elements(memoryview(inflated), order))
        yield from (_matrix(part.content, order, names) for part in parts if part.kind == MATRIX)


def _elements(content: memoryview, order: str) -> Iterator[_Element]:
    """Tagged elements; a small one holds its size in the tag's upper half and up to 4 bytes in place of the size."""
    position = 0
    while position < len(content):
        if position + 8 > len(content):
            raise _Damaged("it ends inside a tag")
        kind, size = struct.unpack(order + "II", content[position : position + 8])
        start = position + 8
        if kind >> 16:
            size, kind, start = kind >> 16, kind & 0xFFFF, position + 4
            if size > 4:
                raise _Damaged(f"a small element of {size} bytes")
        if start + size > len(content):
            raise _Damaged(f"an element of {size} bytes is cut off")
        yield _Element(kind, content[start : start + size])
        end = start + size
        # Elements are padded to 8 bytes, compressed ones are not.
        position = end if kind == COMPRESSED else end + -end % 8


def _inflate(content: memoryview, max_bytes: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(content, max_bytes + 1)
    except zlib.error as error:
        raise _Damaged(str(error)) from error
    if len(inflated) > max_bytes:
        raise _Damaged(f"it inflates to more than {MAX_INFLATED_BYTES} bytes")
    if not stream.eof:
        raise _Damaged("compressed data are cut off")
    return inflated


def _matrix(content: memoryview, order: str, names: tuple[str, ...] | None) -> _Matrix:
    parts = _elements(content, order)
    head = list(itertools.islice(parts, 3))
    if len(head) < 3 or len(head[0].content) != 8 or len(head[1].content) % 4:
        raise _Damaged("a matrix without flags, size or name")
    (flags,) = struct.unpack(order + "I", head[0].content[:4])
    shape = struct.unpack(f"{order}{len(head[1].content) // 4}i", head[1].content)
    name = bytes(head[2].content).decode("latin-1")
    kind = flags & 0xFF
    if (names is not None and name not in names) or kind not in NUMERIC_CLASSES or flags & COMPLEX_FLAG:
        numeric = "a complex matrix" if kind in NUMERIC_CLASSES else f"a {CLASSES.get(kind, 'value of unknown type')}"
        return _Matrix(name, numeric, None)
    data = next(parts, None)
    storage = STORAGE.get(data.kind) if data else None
    if data is None or storage is None:
        raise _Damaged(f"`{name}` holds no numbers")
    dtype = np.dtype(order + storage)
    if min(shape, default=0) < 0 or len(shape) < 2 or math.prod(shape) * dtype.itemsize != len(data.content):
        raise _Damaged(f"`{name}` declares shape {shape} of {dtype}, but holds {len(data.content)} bytes")
    return _Matrix(name, "", np.frombuffer(data.content, dtype=dtype).reshape(shape, order="F"))
