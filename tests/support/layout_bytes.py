"""GDSII and OASIS by hand, for what gdstk does not write, and areas by its union."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from cidesign.export.aperture.gds.layout import Layout

gdstk = pytest.importorskip("gdstk", reason="gdstk is not installed")

SQUARE = [(0, 0), (10_000, 0), (10_000, 10_000), (0, 10_000), (0, 0)]


# GDSII by hand: what gdstk does not write.


def record(kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">HH", len(data) + 4, kind) + data


def real(value: float) -> bytes:
    mantissa, exponent = math.frexp(abs(value))
    sixteen = -(-exponent // 4)
    head = (0x80 if value < 0 else 0) | (sixteen + 64)
    return bytes([head]) + round(mantissa * 2 ** (exponent - 4 * sixteen) * 2**56).to_bytes(7, "big")


def name(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def gds(*cells: bytes, step_m: float = 1e-9, step_user: float = 1e-3) -> bytes:
    head = record(0x0002, struct.pack(">h", 600)) + record(0x0102, bytes(24)) + record(0x0206, name("LIB"))
    return head + record(0x0305, real(step_user) + real(step_m)) + b"".join(cells) + record(0x0400)


def cell(label: str, *elements: bytes) -> bytes:
    return record(0x0502, bytes(24)) + record(0x0606, name(label)) + b"".join(elements) + record(0x0700)


def points(*places: tuple[int, int]) -> bytes:
    return record(0x1003, struct.pack(f">{2 * len(places)}i", *(value for place in places for value in place)))


def on_layer(kind: int, *rest: bytes, layer: int = 1) -> bytes:
    layers = record(0x0D02, struct.pack(">h", layer)) + record(0x2E02 if kind == 0x2D00 else 0x0E02, b"\0\0")
    return record(kind) + layers + b"".join(rest) + record(0x1100)


def boundary(*places: tuple[int, int]) -> bytes:
    return on_layer(0x0800, points(*(places or SQUARE)))


def path_of(places: list[tuple[int, int]], width: int, kind: int = 0) -> bytes:
    return on_layer(
        0x0900, record(0x2102, struct.pack(">h", kind)), record(0x0F03, struct.pack(">i", width)), points(*places)
    )


def reference(label: str, x: int = 0, y: int = 0, transform: bytes = b"") -> bytes:
    return record(0x0A00) + record(0x1206, name(label)) + transform + points((x, y)) + record(0x1100)


def write(folder: Path, content: bytes, ending: str = "gds") -> Path:
    path = folder / f"mask.{ending}"
    path.write_bytes(content)
    return path


def area_um2(layout: Layout) -> float:
    """By gdstk's own union of the flattened shapes."""
    ends = np.cumsum(layout.sizes)
    shapes = [gdstk.Polygon(layout.corners[end - size : end]) for end, size in zip(ends, layout.sizes, strict=True)]
    return sum(polygon.area() for polygon in gdstk.boolean(shapes, [], "or", precision=1e-3)) / 1e6


def library_of(unit=1e-6, precision=1e-9):
    return gdstk.Library("L", unit=unit, precision=precision)


# OASIS.


def number(value: int) -> bytes:
    low = value & 127
    return bytes([low | 128]) + number(value >> 7) if value > 127 else bytes([low])


def signed(value: int) -> bytes:
    return number(abs(value) << 1 | (value < 0))


def oasis(*records: bytes) -> bytes:
    start = b"%SEMI-OASIS\r\n" + number(1) + b"\x031.0" + number(0) + number(1000) + bytes(13)
    return start + b"\x0e\x01A" + b"".join(records) + b"\x02" + number(252) + bytes(252) + b"\0"


def trapezoid(kind: int, width: int, height: int) -> bytes:
    return b"\x1a\xfb\x01\x00" + number(kind) + number(width) + number(height) + signed(0) + signed(0)
