"""Cubes as ENVI files: what Spectral Python, ENVI, QGIS and MATLAB open with their wavelengths.

Source: NV5 Geospatial, "ENVI Header Files".
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError


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
