"""Reads ALP frames back into mirror levels, from the file and its sidecar; shares no code with the writer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequenceEntry, SequencePlan
from cidesign.errors import FileError
from cidesign.export.dmd.base import ReadBack
from cidesign.export.dmd.sidecar import read_sidecar, whole_number

_NUMBERS = ("columns", "rows", "row_bytes", "bit_planes", "pictures", "picture_time_us", "illuminate_time_us")
_MAX_SIDE = 20_000
_MAX_PICTURES = 1_000_000


def read(folder: Path) -> ReadBack:
    """Read an export folder: `alp_planes.bin` as `alp_planes.json` describes it."""
    path, planes = folder / "alp_planes.json", folder / "alp_planes.bin"
    content = read_sidecar(path, {*_NUMBERS, "data_format"})
    columns, rows, row_bytes, bits, pictures, period_us, exposure_us = (
        whole_number(content[name], name, path) for name in _NUMBERS
    )
    binary = bits == 1
    wanted = "ALP_DATA_BINARY_TOPDOWN" if binary else "ALP_DATA_MSB_ALIGN"
    if content["data_format"] != wanted or not 1 <= bits <= 8:
        raise FileError(f"{path}: {bits} bit planes are stored as {wanted}, not {str(content['data_format'])[:40]!r}")
    sizes = columns, rows, row_bytes
    if not all(1 <= size <= _MAX_SIDE for size in sizes) or not 1 <= pictures <= _MAX_PICTURES:
        raise FileError(f"{path}: {pictures} pictures of {columns} x {rows} in rows of {row_bytes} bytes cannot be")
    if 8 * row_bytes < columns if binary else row_bytes != columns:
        raise FileError(f"{path}: rows of {row_bytes} bytes do not hold {columns} mirrors of {bits} bit")
    try:
        size = planes.stat().st_size
    except OSError as error:
        raise FileError(f"{planes}: these frames cannot be read ({error.strerror or error})") from error
    if size != pictures * rows * row_bytes:
        raise FileError(f"{planes}: {size} bytes, but {pictures} pictures take {pictures * rows * row_bytes}")
    entries = tuple(SequenceEntry(n, n, 0, True, exposure_us, period_us) for n in range(pictures))
    plan = SequencePlan(bits, entries, pictures, "fixed_exposure", None, None, exposure_us, ())
    return ReadBack(plan, _frames(planes, pictures, (rows, row_bytes), columns, bits))


def _frames(path: Path, pictures: int, shape: tuple[int, int], columns: int, bits: int) -> Iterator[NDArray[np.uint8]]:
    with path.open("rb") as stream:
        for number in range(pictures):
            content = stream.read(shape[0] * shape[1])
            if len(content) != shape[0] * shape[1]:
                raise FileError(f"{path}: picture {number} is cut short")
            stored = np.frombuffer(content, dtype=np.uint8).reshape(shape)
            if bits > 1:
                if np.any(stored & np.uint8(2 ** (8 - bits) - 1)):
                    raise FileError(f"{path}: picture {number} has bits below its {bits} significant ones")
                yield stored >> np.uint8(8 - bits)
                continue
            mirrors = (stored[:, :, None] >> np.arange(7, -1, -1, dtype=np.uint8) & np.uint8(1)).reshape(shape[0], -1)
            if mirrors[:, columns:].any():
                raise FileError(f"{path}: picture {number} has mirrors on in the padding of its rows")
            yield mirrors[:, :columns]
