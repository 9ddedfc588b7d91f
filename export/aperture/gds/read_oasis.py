"""Reads the outlines of an OASIS file; shares no code with the writer, and bears any damage.

SEMI P39 (OASIS 1.0): byte-coded records; what a record leaves out is taken from the one before ("modal variables").
"""

import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cidesign.errors import FileError
from cidesign.export.aperture.gds.outlines import MAX_SHAPES, ForeignLayoutError, Outlines, Points
from cidesign.files import read_limited

MAX_OASIS_BYTES = 1_000_000_000
_MAGIC = b"%SEMI-OASIS\r\n"
_MAX_BLOCK_BYTES = 500_000_000
_MAX_POINTS = 4_000_000
_REFUSED = {
    17: "a reference to another cell; flatten the cell",
    18: "a reference to another cell; flatten the cell",
    22: "a path; mask writers want areas as closed polygons",
    23: "a trapezoid; a coded aperture has edges along x and y alone",
    24: "a trapezoid; a coded aperture has edges along x and y alone",
    25: "a trapezoid; a coded aperture has edges along x and y alone",
    26: "a trapezoid; a coded aperture has edges along x and y alone",
    27: "a circle; a coded aperture has edges along x and y alone",
}
_UNKNOWN = {
    32: "an extension element, which only its writer knows",
    33: "an extension geometry, which only its writer knows",
}
# Steps of a g-delta: east, north, west, south, north-east, north-west, south-west, south-east.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1))


def read_oasis(path: Path) -> Outlines:
    """Read all rectangles and polygons; raises `FileError` for damage, another grid than 1 nm, and what is no area."""
    content = read_limited(path, "OASIS file", MAX_OASIS_BYTES)
    if not content.startswith(_MAGIC):
        raise FileError(f"{path}: not an OASIS file (it does not begin with %SEMI-OASIS)")
    reader = _Reader(path, content[len(_MAGIC) :])
    try:
        return reader.read()
    except (IndexError, struct.error) as error:
        raise FileError(f"{path}: this OASIS file is cut short") from error
    except (KeyError, OverflowError, ValueError) as error:
        raise FileError(f"{path}: this OASIS file is damaged ({error!r})") from error


class _Reader:
    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.found = path, Outlines(path)
        self.content, self.position = content, 0
        self.outer: tuple[bytes, int] | None = None
        self.names: dict[int, str] = {}
        self.next_name = 0
        self.cells: list[str | int] = []
        self.modal: dict[str, int] = {}
        self.relative = False
        self.points: Points | None = None
        self.offsets: Points | None = None
        self.boxes: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}

    def read(self) -> Outlines:
        if self.uint() != 1:
            raise FileError(f"{self.path}: the start record is missing; this OASIS file is damaged")
        self.start()
        handlers: dict[int, Callable[[int], None]] = {
            **dict.fromkeys(range(3, 11), self.name),
            **dict.fromkeys((11, 12), self.layer_name),
            **dict.fromkeys((13, 14), self.cell),
            **dict.fromkeys((15, 16), self.mode),
            **dict.fromkeys((28, 29), self.property),
            **dict.fromkeys((30, 31), self.extension_name),
            19: self.text,
            20: self.rectangle,
            21: self.polygon,
            34: self.block,
        }
        while True:
            if self.outer and self.position >= len(self.content):
                (self.content, self.position), self.outer = self.outer, None
            kind = self.uint()
            if kind == 2:
                break
            if kind == 0:
                continue
            if kind in _REFUSED:
                raise ForeignLayoutError(f"{self.path}: holds {_REFUSED[kind]}")
            if kind in _UNKNOWN:
                raise FileError(f"{self.path}: holds {_UNKNOWN[kind]}")
            if kind not in handlers:
                raise FileError(f"{self.path}: holds a record of unknown kind {kind}; this OASIS file is damaged")
            handlers[kind](kind)
        for layer, boxes in self.boxes.items():
            x, y, width, height = np.array(boxes, dtype=np.int64).T
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
            self.found.add(layer, np.stack([np.stack(corner, axis=1) for corner in corners], axis=1))
        self.found.cell_names = [
            self.names.get(name, f"number {name}") if isinstance(name, int) else name for name in self.cells
        ]
        return self.found

    # Numbers and strings.

    def uint(self) -> int:
        byte = self.content[self.position]
        self.position += 1
        if byte < 128:
            return byte
        value, shift = byte & 127, 7
        while True:
            byte = self.content[self.position]
            self.position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise FileError(f"{self.path}: a number of more than 63 bits; this OASIS file is damaged")

    def byte(self) -> int:
        self.position += 1
        return self.content[self.position - 1]

    def sint(self) -> int:
        value = self.uint()
        return -(value >> 1) if value & 1 else value >> 1

    def real(self, kind: int | None = None) -> float:
        kind = self.uint() if kind is None else kind
        if kind < 4:
            value = self.uint()
            size = float(value) if kind < 2 else 1 / value if value else math.inf
            return -size if kind & 1 else size
        if kind < 6:
            over, under = self.uint(), self.uint()
            size = over / under if under else math.inf
            return -size if kind & 1 else size
        code, length = ("<f", 4) if kind == 6 else ("<d", 8)
        (value_f,) = struct.unpack_from(code, self.content, self.position)
        self.position += length
        return float(value_f)

    def string(self) -> str:
        length = self.uint()
        if self.position + length > len(self.content):
            raise FileError(f"{self.path}: this OASIS file is cut short")
        value = self.content[self.position : self.position + length]
        self.position += length
        return value.decode("ascii", "replace")

    def g_delta(self) -> tuple[int, int]:
        value = self.uint()
        if value & 1:
            x = -(value >> 2) if value & 2 else value >> 2
            return x, self.sint()
        (dx, dy), size = _STEPS[value >> 1 & 7], value >> 4
        return dx * size, dy * size

    # Records.

    def start(self) -> None:
        version = self.string()
        grid_per_um = self.real()
        if not math.isclose(grid_per_um, 1000, rel_tol=1e-9):
            raise ForeignLayoutError(
                f"{self.path}: its grid has {grid_per_um:g} steps per um (OASIS {version}); the order has a grid of "
                "1 nm. Save it with 1000"
            )
        if self.uint() == 0:
            for _ in range(12):
                self.uint()

    def name(self, kind: int) -> None:
        text = self.string()
        number = self.uint() if kind in (4, 6, 8, 10) else self.next_name
        if kind in (3, 4):
            self.names[number] = text
            self.next_name += kind == 3

    def layer_name(self, _: int) -> None:
        self.string()
        for _axis in range(2):
            bounds = self.uint()
            for _bound in range({0: 0, 4: 2}.get(bounds, 1)):
                self.uint()

    def extension_name(self, kind: int) -> None:
        self.uint()
        self.string()
        if kind == 31:
            self.uint()

    def cell(self, kind: int) -> None:
        self.cells.append(self.uint() if kind == 13 else self.string())
        self.modal = {"x": 0, "y": 0, "text x": 0, "text y": 0}
        self.relative, self.points, self.offsets = False, None, None

    def mode(self, kind: int) -> None:
        self.relative = kind == 16

    def property(self, kind: int) -> None:
        if kind == 29:
            return
        info = self.byte()
        if info & 4:
            if info & 2:
                self.uint()
            else:
                self.string()
        if not info & 8:
            count = info >> 4
            for _ in range(self.uint() if count == 15 else count):
                value = self.uint()
                if value < 8:
                    self.real(value)
                elif value == 9:
                    self.sint()
                elif 10 <= value <= 12:
                    self.string()
                else:
                    self.uint()

    def text(self, _: int) -> None:
        info = self.byte()
        if info & 0x40:
            if info & 0x20:
                self.uint()
            else:
                self.string()
        for bit in (1, 2):
            if info & bit:
                self.uint()
        for bit in (0x10, 0x08):
            if info & bit:
                self.sint()
        if info & 4:
            self.repetition()

    def rectangle(self, _: int) -> None:
        info, modal = self.byte(), self.modal
        layer = self.layer(info)
        if info & 0x40:
            modal["width"] = self.uint()
        if info & 0x80:
            modal["height"] = modal["width"]
        elif info & 0x20:
            modal["height"] = self.uint()
        x, y = self.place(info)
        offsets = self.repetition() if info & 4 else None
        boxes = self.boxes.setdefault(layer, [])
        if offsets is None:
            boxes.append((x, y, modal["width"], modal["height"]))
        else:
            size = modal["width"], modal["height"]
            boxes.extend((x + dx, y + dy, *size) for dx, dy in offsets.tolist())
        if len(boxes) > MAX_SHAPES:
            raise FileError(f"{self.path}: more than {MAX_SHAPES} shapes; a coded aperture has fewer")

    def polygon(self, _: int) -> None:
        info = self.byte()
        layer = self.layer(info)
        if info & 0x20:
            self.points = self.point_list()
        x, y = self.place(info)
        if self.points is None:
            raise FileError(f"{self.path}: a polygon without corners; this OASIS file is damaged")
        outline = self.points[None] + np.array([x, y])
        if info & 4:
            offsets = self.repetition()
            if len(offsets) * len(self.points) > MAX_SHAPES:
                raise FileError(f"{self.path}: {len(offsets)} copies of {len(self.points)} corners; it is damaged")
            outline = outline + offsets[:, None]
        self.found.add(layer, outline)

    def layer(self, info: int) -> tuple[int, int]:
        if info & 1:
            self.modal["layer"] = self.uint()
        if info & 2:
            self.modal["datatype"] = self.uint()
        return self.modal["layer"], self.modal["datatype"]

    def place(self, info: int) -> tuple[int, int]:
        for bit, axis in ((0x10, "x"), (0x08, "y")):
            if info & bit:
                value = self.sint()
                self.modal[axis] = value + (self.modal[axis] if self.relative else 0)
        return self.modal["x"], self.modal["y"]

    def block(self, _: int) -> None:
        kind, size, length = self.uint(), self.uint(), self.uint()
        if kind != 0 or self.outer or size > _MAX_BLOCK_BYTES or self.position + length > len(self.content):
            raise FileError(f"{self.path}: a compressed block is damaged, or larger than {_MAX_BLOCK_BYTES} bytes")
        packed = self.content[self.position : self.position + length]
        try:
            content = zlib.decompressobj(-15).decompress(packed, size + 1)
        except zlib.error as error:
            raise FileError(f"{self.path}: a compressed block cannot be decompressed ({error})") from error
        if len(content) != size:
            raise FileError(f"{self.path}: a compressed block has not the length that it claims; it is damaged")
        self.outer = self.content, self.position + length
        self.content, self.position = content, 0

    def point_list(self) -> Points:
        """Corners (k, 2) of a polygon from its start at (0, 0), which is the first."""
        kind, count = self.uint(), self.uint()
        if not 1 <= count <= _MAX_POINTS:
            raise FileError(f"{self.path}: a polygon of {count} corners; this OASIS file is damaged")
        steps: list[tuple[int, int]] = []
        for number in range(count):
            if kind < 2:
                along_x = (number + kind) % 2 == 0
                size = self.sint()
                steps.append((size, 0) if along_x else (0, size))
            elif kind < 4:
                value, bits = self.uint(), kind
                (dx, dy), size = _STEPS[value & (2**bits - 1)], value >> bits
                steps.append((dx * size, dy * size))
            else:
                steps.append(self.g_delta())
        deltas = np.array(steps, dtype=np.int64)
        if kind == 5:
            deltas = np.cumsum(deltas, axis=0)
        corners = np.concatenate([np.zeros((1, 2), dtype=np.int64), np.cumsum(deltas, axis=0)])
        if kind < 2:
            # The last corner is not stored: the outline closes along both axes in turn.
            x, y = corners[-1]
            corners = np.concatenate([corners, [[0, y] if kind == 0 else [x, 0]]])
        return corners

    def repetition(self) -> Points:
        """Offsets (m, 2) of all copies, the first at (0, 0)."""
        kind = self.uint()
        if kind == 0:
            if self.offsets is None:
                raise FileError(f"{self.path}: a repetition of nothing; this OASIS file is damaged")
            return self.offsets
        if kind > 11:
            raise FileError(f"{self.path}: a repetition of unknown kind {kind}; this OASIS file is damaged")
        self.offsets = self.lattice(kind) if kind in (1, 2, 3, 8, 9) else self.listed(kind)
        return self.offsets

    def lattice(self, kind: int) -> Points:
        across = self.count() if kind != 3 else 1
        down = self.count() if kind in (1, 3, 8) else 1
        if across * down > MAX_SHAPES:
            raise FileError(f"{self.path}: a repetition of {across} x {down}; a coded aperture has fewer shapes")
        if kind in (8, 9):
            first = self.g_delta()
            second = self.g_delta() if kind == 8 else (0, 0)
        else:
            first = (self.uint(), 0) if kind in (1, 2) else (0, 0)
            second = (0, self.uint()) if kind in (1, 3) else (0, 0)
        n, m = np.meshgrid(np.arange(across, dtype=np.int64), np.arange(down, dtype=np.int64))
        offsets: Points = n.reshape(-1, 1) * np.array(first) + m.reshape(-1, 1) * np.array(second)
        return offsets

    def listed(self, kind: int) -> Points:
        count = self.count()
        grid = self.uint() if kind in (5, 7, 11) else 1
        if count > len(self.content) - self.position + 1:
            raise FileError(f"{self.path}: a repetition of {count}, more than the file has room for; it is damaged")
        steps: list[tuple[int, int]] = [(0, 0)]
        for _ in range(count - 1):
            if kind in (4, 5):
                steps.append((self.uint(), 0))
            elif kind in (6, 7):
                steps.append((0, self.uint()))
            else:
                steps.append(self.g_delta())
        return np.cumsum(np.array(steps, dtype=np.int64) * grid, axis=0)

    def count(self) -> int:
        """A number of copies, which is stored less two."""
        return self.uint() + 2
