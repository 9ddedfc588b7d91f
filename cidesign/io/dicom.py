"""Pictures in DICOM files, read by pydicom (extra `dicom`) in the bounded child process."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import MAX_ARRAY_BYTES
from cidesign.io.child import SPARE_BYTES, ask, typed_head

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
READER = "cidesign.io.dicom_child"
LONGEST_READ_S = 300
PREAMBLE_BYTES, MAGIC = 128, b"DICM"
# Importing pydicom and its tables takes longer than reading a small file.
CPU_S, CPU_S_PER_BYTE = 10.0, 1e-6


@dataclass(frozen=True, kw_only=True)
class DicomHead:
    """What the header says of all frames.

    `modality` is that of the file (MR, CT), `part` of a complex number is "" for magnitudes or what is not said, else
    PHASE, REAL, IMAGINARY or MIXED.  `series` names the scan; `inverted` tells of MONOCHROME1.
    """

    modality: str
    part: str
    series: str
    inverted: bool


@dataclass(frozen=True, kw_only=True)
class DicomFrames(DicomHead):
    """Frames (M, H, W), or (M, H, W, 3) in colour, as stored: 0 is black, MONOCHROME1 is inverted.

    The quantity is `slope` (M,) times a stored value plus `intercept` (M,).  `position_mm` (M,) is the place of a frame
    across its slices, or its number.
    """

    stored: NDArray[np.generic]
    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    position_mm: NDArray[np.float64]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its name or, since most scanners give it none, by its first bytes."""
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            stream.seek(PREAMBLE_BYTES)
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_dicom(path: Path) -> DicomFrames:
    """All frames of a DICOM file.

    Raises `FileError` for a file without pictures, one that declares other pixels than it holds, a compression that is
    not installed (by name), and where pydicom is missing (with the extra that brings it).
    """
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise FileError(f"{path}: this DICOM file cannot be read ({error.strerror or error})") from error
    request = {"max_bytes": MAX_ARRAY_BYTES}
    memory_bytes = SPARE_BYTES + 4 * MAX_ARRAY_BYTES
    cpu_s = CPU_S + CPU_S_PER_BYTE * size_bytes
    head, arrays = ask(path, READER, request, "DICOM file", LONGEST_READ_S, memory_bytes, cpu_s)
    return DicomFrames(
        **vars(typed_head(DicomHead, head)),
        stored=arrays["stored"],
        slope=arrays["slope"],
        intercept=arrays["intercept"],
        position_mm=arrays["position_mm"],
    )
