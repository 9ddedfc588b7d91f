"""NIfTI-1 and NIfTI-2 images (.nii, .nii.gz): a strict reader of one volume.

Sources: nifti1.h and nifti2.h of the NIfTI Data Format Working Group (offsets of the fields, type codes).  The library
nibabel reads many more variants; here sizes are checked before memory is taken and a compressed file is never
inflated further than its header allows.
"""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import MAX_ARRAY_BYTES

TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    32: "c8",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
    1792: "c16",
}
# Header extensions lie between the header and the data; a larger gap is not one of a sound file.
MAX_OFFSET_BYTES = 64_000_000


@dataclass(frozen=True)
class NiftiVolume:
    """The first volume (x, y, z) of an image, with the scaling of the header applied, and how many volumes it has."""

    values: NDArray[np.generic]
    volumes: int


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    offset_bytes: int
    slope: float
    intercept: float


def read_nifti(path: Path) -> NiftiVolume:
    """Read the first volume of a NIfTI file; raises `FileError` for damage and for types that are not numbers."""
    try:
        with _opened(path) as stream:
            header = _read_header(path, stream)
            x, y, z = (*header.shape, 1, 1, 1)[:3]
            volumes = math.prod(header.shape[3:])
            size_bytes = x * y * z * header.dtype.itemsize
            if size_bytes * volumes > MAX_ARRAY_BYTES:
                raise FileError(f"{path}: declares {size_bytes * volumes} bytes; at most {MAX_ARRAY_BYTES} are read")
            if len(stream.read(header.offset_bytes)) != header.offset_bytes:
                raise FileError(f"{path}: it ends before its data begin")
            content = stream.read(size_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path}: not a sound NIfTI file ({error})") from error
    if len(content) != size_bytes:
        raise FileError(f"{path}: declares {x} x {y} x {z} values of {header.dtype}, but holds {len(content)} bytes")
    values: NDArray[np.generic] = np.frombuffer(content, dtype=header.dtype).reshape((x, y, z), order="F")
    if header.slope:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not finite, and refused by the caller
            values = np.multiply(values, header.slope) + header.intercept
    return NiftiVolume(values, volumes)


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rb")
    return path.open("rb")


def _read_header(path: Path, stream: IO[bytes] | gzip.GzipFile) -> _Header:
    start = stream.read(4)
    if len(start) < 4:
        raise FileError(f"{path}: {len(start)} bytes are no NIfTI file")
    for order in "<>":
        (size,) = struct.unpack(order + "i", start)
        if size in (348, 540):
            break
    else:
        raise FileError(f"{path}: not a NIfTI file (its header size is neither 348 nor 540)")
    head = start + stream.read(size - 4)
    if len(head) != size:
        raise FileError(f"{path}: its header is cut off after {len(head)} of {size} bytes")
    if size == 348:
        magic, dims = head[344:348], struct.unpack(order + "8h", head[40:56])
        code, bits = struct.unpack(order + "2h", head[70:74])
        offset, slope, intercept = struct.unpack(order + "3f", head[108:120])
        sound = magic == b"n+1\0"
    else:
        magic, dims = head[4:12], struct.unpack(order + "8q", head[16:80])
        code, bits = struct.unpack(order + "2h", head[12:16])
        (offset,) = struct.unpack(order + "q", head[168:176])
        slope, intercept = struct.unpack(order + "2d", head[176:192])
        sound = magic == b"n+2\0\r\n\x1a\n"
    if not sound:
        raise FileError(f"{path}: not a NIfTI file of one piece (magic {magic!r}); .hdr/.img pairs are not read")
    if code not in TYPES:
        raise FileError(f"{path}: NIfTI data type {code} is not read; images of real or complex numbers are")
    dtype = np.dtype(order + TYPES[code])
    if bits != 8 * dtype.itemsize:
        raise FileError(f"{path}: its header says {bits} bits per value of {dtype}; that cannot be")
    if not 1 <= dims[0] <= 7 or min(dims[1 : 1 + dims[0]]) < 1:
        raise FileError(f"{path}: its header declares dimensions {dims}; that cannot be")
    if not size <= offset <= MAX_OFFSET_BYTES or offset != int(offset):
        raise FileError(f"{path}: its header says that the data begin at byte {offset:g}; that cannot be")
    # A slope of 0, or one that is not a number, means that values are stored as they are.
    scaled = math.isfinite(slope) and slope != 0
    if scaled and not math.isfinite(intercept):
        raise FileError(f"{path}: its header scales by {slope:g} and adds {intercept:g}; a finite number is needed")
    shape = tuple(int(length) for length in dims[1 : 1 + dims[0]])
    return _Header(shape, dtype, int(offset) - size, slope if scaled else 0.0, intercept if scaled else 0.0)
