"""Reads the outlines of a GDSII file; shares no code with the writer, and bears any damage.

GDSII stream format 6.0: records of a 16-bit length, a type and a data type, big-endian.
"""

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.export.aperture.gds.outlines import ForeignLayoutError, Outlines
from cidesign.files import read_limited

MAX_GDS_BYTES = 2_000_000_000
_HEADER, _UNITS, _ENDLIB, _STRNAME = 0x0002, 0x0305, 0x0400, 0x0606
_BOUNDARY, _LAYER, _DATATYPE, _XY, _ENDEL = 0x0800, 0x0D02, 0x0E02, 0x1003, 0x1100
_TEXT, _PATH, _SREF, _AREF, _BOX, _STRANS = 0x0C00, 0x0900, 0x0A00, 0x0B00, 0x2D00, 0x1A01
_ABSOLUTE = 0x0006
_NOT_AREAS = {
    _PATH: "a path; mask writers want areas as closed polygons",
    _SREF: "a reference to another cell; flatten the cell",
    _AREF: "an array of another cell; flatten the cell",
}
# A boundary of four corners is always 64 bytes long: these of them are the same in all.
_FIXED = np.array([*range(8), *range(10, 14), *range(16, 20), *range(60, 64)])
_QUAD = np.frombuffer(
    struct.pack(">HHHH2xHH2xHH40xHH", 4, _BOUNDARY, 6, _LAYER, 6, _DATATYPE, 44, _XY, 4, _ENDEL), "u1"
)
_BLOCKS = 65_536


def read_gds(path: Path) -> Outlines:
    """Read all boundaries; raises `FileError` for damage, for another unit than 1 nm, and for what is not an area."""
    content = read_limited(path, "GDSII file", MAX_GDS_BYTES)
    if content[2:4] != struct.pack(">H", _HEADER):
        raise FileError(f"{path}: not a GDSII file (it does not begin with a header record)")
    return _Reader(path, content).read()


class _Reader:
    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content = path, content
        self.position = 0
        self.found = Outlines(path)
        # What an order does not have; raised when the whole file was seen to be sound.
        self.foreign: str | None = None

    def read(self) -> Outlines:
        units = False
        while True:
            kind, data = self._record()
            if kind == _ENDLIB:
                break
            if kind == _UNITS:
                self._foreign(_other_unit(self.path, data))
                units = True
            elif kind == _STRNAME:
                self.found.cell_names.append(data.rstrip(b"\0").decode("ascii", "replace"))
            elif kind == _BOUNDARY:
                self.position -= 4
                if not self._quads():
                    self._boundary()
            elif kind == _BOX:
                raise FileError(f"{self.path}: holds a box element, which is no area; save it as a boundary")
            elif kind == _STRANS and int.from_bytes(data, "big") & _ABSOLUTE:
                raise FileError(
                    f"{self.path}: turns or magnifies a cell absolutely, which few programs read; flatten it"
                )
            elif kind in _NOT_AREAS:
                self._foreign(f"holds {_NOT_AREAS[kind]}")
        if not units:
            raise FileError(f"{self.path}: states no unit, so the size of the mask is not known; save it again")
        if self.foreign:
            raise ForeignLayoutError(f"{self.path}: {self.foreign}")
        return self.found

    def _foreign(self, what: str | None) -> None:
        self.foreign = self.foreign or what

    def _record(self) -> tuple[int, bytes]:
        """The next record's type (with its data type) and its data."""
        if self.position + 4 > len(self.content):
            raise FileError(f"{self.path}: this GDSII file is cut short")
        length, kind = struct.unpack_from(">HH", self.content, self.position)
        end = self.position + length
        if length < 4 or end > len(self.content):
            raise FileError(f"{self.path}: a record at byte {self.position} is {length} bytes long; it is damaged")
        data = self.content[self.position + 4 : end]
        self.position = end
        return kind, data

    def _quads(self) -> bool:
        """Read as many boundaries of four corners as follow each other; False when there is none."""
        any_found, ahead = False, 1
        while True:
            count = min((len(self.content) - self.position) // 64, ahead)
            if not count:
                return any_found
            blocks = np.frombuffer(self.content, np.uint8, count * 64, self.position).reshape(count, 64)
            fits = (blocks[:, _FIXED] == _QUAD[_FIXED]).all(axis=1)
            same = count if fits.all() else int(np.argmin(fits))
            if same:
                self._add_quads(blocks[:same])
                self.position += 64 * same
                any_found = True
            if same < count:
                return any_found
            ahead = min(8 * ahead, _BLOCKS)

    def _add_quads(self, blocks: NDArray[np.uint8]) -> None:
        layers = blocks[:, 8:10].copy().view(">i2")[:, 0].astype(np.int64)
        datatypes = blocks[:, 14:16].copy().view(">i2")[:, 0].astype(np.int64)
        points = blocks[:, 20:60].copy().view(">i4").reshape(-1, 5, 2).astype(np.int64)
        if not (points[:, 0] == points[:, 4]).all():
            raise FileError(f"{self.path}: a boundary near byte {self.position} is not closed; the file is damaged")
        pairs = np.unique(np.stack([layers, datatypes], axis=1), axis=0)
        for layer, datatype in pairs.tolist():
            chosen = (layers == layer) & (datatypes == datatype)
            self.found.add((layer, datatype), points[chosen, :4])

    def _boundary(self) -> None:
        """One boundary of any number of corners; XY may go over several records."""
        start = self.position
        self._record()
        layer = datatype = None
        points: list[NDArray[np.int64]] = []
        while True:
            kind, data = self._record()
            if kind == _ENDEL:
                break
            if kind in (_LAYER, _DATATYPE) and len(data) == 2:
                (value,) = struct.unpack(">h", data)
                layer, datatype = (value, datatype) if kind == _LAYER else (layer, value)
            elif kind == _XY and len(data) % 8 == 0:
                points.append(np.frombuffer(data, ">i4").reshape(-1, 2).astype(np.int64))
            elif kind in (_BOUNDARY, _TEXT, _ENDLIB, _STRNAME):
                raise FileError(f"{self.path}: the boundary at byte {start} has no end; the file is damaged")
        corners = np.concatenate(points) if points else np.empty((0, 2), dtype=np.int64)
        if layer is None or datatype is None or len(corners) < 4 or (corners[0] != corners[-1]).any():
            raise FileError(f"{self.path}: the boundary at byte {start} is not a closed area; the file is damaged")
        self.found.add((layer, datatype), corners[None, :-1])


def _other_unit(path: Path, data: bytes) -> str | None:
    """What another unit than 1 nm is; None for 1 nm."""
    if len(data) != 16:
        raise FileError(f"{path}: the record of units is damaged")
    user, database_m = (_real(data[first : first + 8]) for first in (0, 8))
    if math.isclose(database_m, 1e-9, rel_tol=1e-6) and math.isclose(user, 1e-3, rel_tol=1e-6):
        return None
    return (
        f"its database unit is {database_m:g} m, {user:g} user units; the order is in um with a database unit of 1 nm. "
        "Save it with 1e-9 m and 0.001"
    )


def _real(data: bytes) -> float:
    """An 8-byte real: sign, exponent of 16 in excess of 64, 56 bits of mantissa below 1."""
    mantissa = int.from_bytes(data[1:], "big") / 2**56
    value = math.ldexp(mantissa, 4 * ((data[0] & 0x7F) - 64))
    return -value if data[0] & 0x80 else value
