"""ENVI cubes: a text header and a flat binary file (BSQ, BIL or BIP).

Source: NV5 Geospatial, "ENVI Header Files" (fields, data types, interleaves).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.files import MAX_ARRAY_BYTES, read_limited

MAX_HEADER_BYTES = 4_000_000
DATA_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
DATA_SUFFIXES = ("", ".raw", ".img", ".dat", ".bsq", ".bil", ".bip", ".cube", ".bin")
# Axes of the file, slowest first, and how they become (bands, lines, samples).
INTERLEAVES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}


@dataclass(frozen=True)
class EnviCube:
    """The values (L, H, W) as stored, and what the header says of them; empty or None where it says nothing."""

    values: NDArray[np.generic]
    wavelengths: tuple[float, ...]
    unit: str
    scale: float | None
    ignored: float | None
    good_bands: tuple[bool, ...]
    notes: tuple[str, ...]


def is_envi(path: Path) -> bool:
    """Whether a .hdr file is an ENVI header: other formats use the same suffix."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"ENVI"
    except OSError:
        return False


def read_envi(path: Path) -> EnviCube:
    """Read the cube of an ENVI header `path`; raises `FileError` for anything missing, unknown or of another size."""
    fields = _read_header(path)
    lines, samples, bands = (_integer(path, fields, key, 1) for key in ("lines", "samples", "bands"))
    offset = _integer(path, fields, "header offset", 0) if "header offset" in fields else 0
    code = _integer(path, fields, "data type", 1)
    if code not in DATA_TYPES:
        raise FileError(f"{path}: data type {code} is not read; {', '.join(map(str, DATA_TYPES))} are (real numbers)")
    interleave = fields.get("interleave", "").lower()
    if interleave not in INTERLEAVES:
        raise FileError(f"{path}: interleave {interleave[:20]!r} is unknown; bsq, bil and bip are read")
    if fields.get("file compression", "0").strip() != "0":
        raise FileError(f"{path}: the data are compressed, which is not read; save them without compression")
    notes = []
    if "byte order" not in fields and np.dtype(DATA_TYPES[code]).itemsize > 1:
        notes.append("no byte order in the ENVI header: little-endian, its default")
    order = _integer(path, fields, "byte order", 0) if "byte order" in fields else 0
    if order > 1:
        raise FileError(f"{path}: byte order {order} is unknown; 0 (little-endian) and 1 (big-endian) are")
    dtype = np.dtype((">" if order else "<") + DATA_TYPES[code])
    extents = {"bsq": (bands, lines, samples), "bil": (lines, bands, samples), "bip": (lines, samples, bands)}
    content = _read_data(path, offset + math.prod((lines, samples, bands)) * dtype.itemsize)
    stored = np.frombuffer(content, dtype=dtype, offset=offset).reshape(extents[interleave])
    wavelengths = _numbers(path, fields, "wavelength", bands)
    good = _numbers(path, fields, "bbl", bands)
    return EnviCube(
        values=stored.transpose(INTERLEAVES[interleave]),
        wavelengths=wavelengths,
        unit=fields.get("wavelength units", "").strip(),
        scale=_number(path, fields, "reflectance scale factor"),
        ignored=_number(path, fields, "data ignore value"),
        good_bands=tuple(value != 0 for value in good),
        notes=tuple(notes),
    )


def _read_header(path: Path) -> dict[str, str]:
    content = read_limited(path, "ENVI header", MAX_HEADER_BYTES)
    text = content.decode("utf-8-sig", "replace")
    if not text.startswith("ENVI"):
        raise FileError(f"{path}: not an ENVI header (its first line is not ENVI)")
    fields: dict[str, str] = {}
    rest = iter(text.splitlines()[1:])
    for line in rest:
        if "=" not in line or line.lstrip().startswith(";"):
            continue
        key, value = (part.strip() for part in line.split("=", 1))
        if value.startswith("{"):
            while "}" not in value:
                following = next(rest, None)
                if following is None:
                    raise FileError(f"{path}: the list of `{key[:40]}` is not closed by a brace")
                value += " " + following.strip()
            value = value[1 : value.index("}")]
        name = re.sub(r"\s+", " ", key.lower())
        if name in fields:
            raise FileError(f"{path}: `{name[:40]}` is there twice")
        fields[name] = value
    return fields


def _integer(path: Path, fields: dict[str, str], key: str, least: int) -> int:
    value = fields.get(key, "")
    if not re.fullmatch(r"\s*[0-9]{1,15}\s*", value) or int(value) < least:
        shown = f"is {value[:20]!r}" if value else "is missing"
        raise FileError(f"{path}: `{key}` {shown}; a whole number of at least {least} is needed")
    return int(value)


def _number(path: Path, fields: dict[str, str], key: str) -> float | None:
    if key not in fields:
        return None
    (number,) = _numbers(path, fields, key, 1)
    return number


def _numbers(path: Path, fields: dict[str, str], key: str, count: int) -> tuple[float, ...]:
    if key not in fields:
        return ()
    try:
        numbers = tuple(float(part) for part in fields[key].split(",") if part.strip())
    except ValueError as error:
        raise FileError(f"{path}: `{key}` holds something that is not a number ({str(error)[:80]!r})") from error
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise FileError(f"{path}: `{key}` holds {len(numbers)} numbers; {count} finite ones are needed")
    return numbers


def _read_data(path: Path, needed_bytes: int) -> bytes:
    """The binary file beside the header: `a.hdr` goes with `a`, `a.raw`, ...; `a.raw.hdr` with `a.raw`."""
    stem = path.with_suffix("")
    found = [data for suffix in DATA_SUFFIXES if (data := stem.with_name(stem.name + suffix)).is_file()]
    if len(found) != 1:
        said = ", ".join(data.name for data in found) or "none"
        raise FileError(
            f"{path}: one data file {stem.name}[{'|'.join(DATA_SUFFIXES)}] must lie beside it; found {said}"
        )
    held_bytes = found[0].stat().st_size
    if held_bytes != needed_bytes:
        raise FileError(f"{found[0]}: {held_bytes} bytes; the header beside it describes {needed_bytes}")
    return read_limited(found[0], "ENVI data file", MAX_ARRAY_BYTES)


def write_envi(
    header: Path,
    cube: NDArray[np.float32],
    wavelengths_nm: Sequence[float],
    shown_bands: tuple[int, int, int],
    description: str,
) -> None:
    """Write a cube (L, H, W) as HEADER.hdr and, beside it, .raw: float32, little-endian, band after band.

    `shown_bands` are those that viewers show as red, green and blue.  Raises `InputError` for as many wavelengths as
    there are no bands.
    """
    bands, lines, samples = cube.shape
    if len(wavelengths_nm) != bands:
        raise InputError(f"{header}: {len(wavelengths_nm)} wavelengths for a cube of {bands} bands")
    fields = {
        "description": "{" + description.translate({ord(mark): " " for mark in "{}\r\n"}) + "}",
        "samples": samples,
        "lines": lines,
        "bands": bands,
        "header offset": 0,
        "file type": "ENVI Standard",
        "data type": 4,
        "interleave": "bsq",
        "byte order": 0,
        "default bands": "{" + ", ".join(str(band + 1) for band in shown_bands) + "}",
        "wavelength units": "Nanometers",
        "wavelength": "{" + ", ".join(repr(float(nm)) for nm in wavelengths_nm) + "}",
    }
    header.with_suffix(".raw").write_bytes(np.ascontiguousarray(cube, dtype="<f4").tobytes())
    header.write_text("ENVI\n" + "".join(f"{name} = {value}\n" for name, value in fields.items()))
