"""Reads DICOM files for `dicom`, in the bounded child process."""

import math
import warnings
from typing import Any, TypedDict

import numpy as np

from cidesign.io.child import Arrays, Refused
from cidesign.io.dicom import MAGIC, PREAMBLE_BYTES, DicomHead

GREY, INVERTED, PALETTE = ("MONOCHROME1", "MONOCHROME2"), "MONOCHROME1", "PALETTE COLOR"
HOW_TO_UNPACK = (
    "install a plugin of pydicom for it (pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg), or decompress it "
    "(gdcmconv --raw)"
)
# 0002 (of the file) and 0008 (of the object), in either byte order.
FIRST_GROUPS = (b"\2\0", b"\0\2", b"\x08\0", b"\0\x08")
ALLOCATED_BITS = (1, 8, 16, 32)
# What Siemens, GE and Philips write as the third value of Image Type, and what enhanced files have a field for.
PARTS = {"P": "PHASE", "PHASE": "PHASE", "PHASE MAP": "PHASE", "R": "REAL", "REAL": "REAL", "I": "IMAGINARY",
         "IMAGINARY": "IMAGINARY", "MIXED": "MIXED"}  # fmt: skip


class Request(TypedDict):
    """All frames of `path`, of at most `max_bytes` together."""

    path: str
    max_bytes: int


def answer(request: Request) -> tuple[DicomHead, Arrays]:
    """All frames of `path` in the numbers that are stored, and what the header says of them."""
    try:
        import pydicom
    except ImportError as error:
        raise Refused("DICOM files are read by pydicom: pip install 'cidesign[dicom]'") from error

    warnings.simplefilter("ignore")  # what matters of a header is checked here
    _require_beginning(request["path"])
    # `force`: many exports leave the preamble out.
    data = pydicom.dcmread(request["path"], force=True)
    if "PixelData" not in data:
        floating = [name for name in ("FloatPixelData", "DoubleFloatPixelData") if name in data]
        if floating:
            raise Refused(f"its pixels are {floating[0]}; integer pixels are read")
        raise Refused(f"holds no picture ({_what(data)})")
    count = _declared(data, request["max_bytes"])
    frames = _frames(data, count)
    bits, signed = int(data.BitsStored), int(data.PixelRepresentation) == 1
    inverted = data.PhotometricInterpretation == INVERTED
    if inverted:
        # The largest number that can be stored becomes the smallest.
        frames = (-1 if signed else 2**bits - 1) - frames.astype(np.int64)
        frames = frames.astype(_kind(bits, signed))
    slope, intercept = np.array([_rescale(data, frame) for frame in range(count)], dtype=np.float64).T
    head = DicomHead(
        modality=str(data.get("Modality", "")),
        part=_part(data),
        series=str(data.get("SeriesInstanceUID", "")),
        inverted=bool(inverted),
    )
    position_mm = np.array([_position(data, frame, count) for frame in range(count)], dtype=np.float64)
    arrays = {"stored": frames, "slope": slope, "intercept": intercept, "position_mm": position_mm}
    return head, {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _require_beginning(path: str) -> None:
    """Raise `Refused` unless there is a preamble, or the first element is one that such files begin with."""
    with open(path, "rb") as stream:
        start = stream.read(PREAMBLE_BYTES + len(MAGIC))
    if start[PREAMBLE_BYTES:] != MAGIC and start[:2] not in FIRST_GROUPS:
        raise Refused("not a DICOM file, whatever its name says")


def _what(data: Any) -> str:
    """What kind of object a file without pixels is."""
    from pydicom.uid import UID

    uid = data.get("SOPClassUID") or data.get("MediaStorageSOPClassUID") or ""
    if not uid and getattr(data, "file_meta", None) is not None:
        uid = data.file_meta.get("MediaStorageSOPClassUID", "")
    return UID(str(uid)).name if uid else f"{len(data)} elements"


def _declared(data: Any, max_bytes: int) -> int:
    """The number of frames; raises `Refused` for pixels that are not in the file, before memory is taken."""
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"):
        if name not in data or data[name].value in (None, ""):
            raise Refused(f"its header has no {name}")
    count, samples = int(data.get("NumberOfFrames", 1) or 1), int(data.get("SamplesPerPixel", 1))
    rows, columns, allocated = int(data.Rows), int(data.Columns), int(data.BitsAllocated)
    said = f"{count} frame(s) of {rows} x {columns} pixels, {samples} sample(s) of {allocated} bits"
    if min(count, samples, rows, columns) < 1 or samples > 4 or allocated not in ALLOCATED_BITS:
        raise Refused(f"declares {said}, which is no picture")
    if not 1 <= int(data.BitsStored) <= allocated:
        raise Refused(f"declares {int(data.BitsStored)} stored bits of {allocated}")
    values = count * rows * columns * samples
    if values * max(allocated // 8, 1) > max_bytes:
        raise Refused(f"declares {said}; at most {max_bytes} bytes are read")
    meta = getattr(data, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta is not None else None
    if syntax is None:
        from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

        implicit, little = data.original_encoding
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        data.ensure_file_meta()
        data.file_meta.TransferSyntaxUID = syntax
    if syntax.is_compressed and not syntax.is_deflated:
        _require_decoder(syntax)
        return count
    wanted, found = math.ceil(values * allocated / 8), len(data.PixelData)
    if data.PhotometricInterpretation == "YBR_FULL_422":
        wanted = wanted * 2 // 3
    if found < wanted:
        raise Refused(f"declares {said}, {wanted} bytes, but holds {found} of pixels; it is cut off, copy it again")
    return count


def _require_decoder(syntax: Any) -> None:
    from pydicom.pixels import get_decoder

    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise Refused(f"its pixels are compressed as {syntax.name}, which is not unpacked here; {HOW_TO_UNPACK}")


def _frames(data: Any, count: int) -> Any:
    """Frames (M, H, W) or (M, H, W, 3), colours of a palette looked up, unused high bits left out."""
    from pydicom.pixels import apply_color_lut

    meaning = str(data.PhotometricInterpretation)
    if meaning not in (*GREY, PALETTE, "RGB") and not meaning.startswith("YBR"):
        raise Refused(f"pictures of {meaning} are not read; grey ones, RGB, YBR and palettes are")
    try:
        pixels = data.pixel_array
    except RuntimeError as error:  # what pydicom raises where no plugin manages
        name = data.file_meta.TransferSyntaxUID.name
        raise Refused(f"its pixels, compressed as {name}, cannot be unpacked; {HOW_TO_UNPACK}") from error
    if meaning == PALETTE:
        pixels = apply_color_lut(pixels, data)
        pixels = np.moveaxis(np.moveaxis(pixels, -1, 0)[:3], 0, -1)
    colour = meaning not in GREY
    frames = pixels.reshape(count, *pixels.shape[-3 if colour else -2 :])
    if colour:
        return frames
    # Overlays of old files lie in the bits above the stored ones.
    bits, signed = int(data.BitsStored), int(data.PixelRepresentation) == 1
    if signed:
        shift = 8 * frames.dtype.itemsize - bits
        return (frames << shift) >> shift
    return frames & frames.dtype.type(2**bits - 1)


def _kind(bits: int, signed: bool) -> str:
    size = next(size for size in (1, 2, 4) if bits <= 8 * size)
    return f"{'i' if signed else 'u'}{size}"


def _groups(data: Any, frame: int, name: str) -> Any:
    """A functional group of an enhanced file: that of the frame, else the shared one, else the header itself."""
    per_frame = data.get("PerFrameFunctionalGroupsSequence") or []
    shared = data.get("SharedFunctionalGroupsSequence") or []
    for groups in ([per_frame[frame]] if frame < len(per_frame) else []) + list(shared[:1]):
        if groups.get(name):
            return groups[name].value[0]
    return data


def _rescale(data: Any, frame: int) -> tuple[float, float]:
    group = _groups(data, frame, "PixelValueTransformationSequence")
    slope, intercept = group.get("RescaleSlope", 1), group.get("RescaleIntercept", 0)
    pair = (1.0 if slope in (None, "") else float(slope), 0.0 if intercept in (None, "") else float(intercept))
    if not all(math.isfinite(number) for number in pair) or pair[0] == 0:
        raise Refused(f"its rescale slope is {pair[0]:g}, its intercept {pair[1]:g}")
    return pair


def _position(data: Any, frame: int, count: int) -> float:
    """The distance of a slice along its normal, in mm; where that is not said, the number of the image."""
    position = _groups(data, frame, "PlanePositionSequence").get("ImagePositionPatient")
    orientation = _groups(data, frame, "PlaneOrientationSequence").get("ImageOrientationPatient")
    if position and orientation and len(position) == 3 and len(orientation) == 6:
        a, b = [float(one) for one in orientation[:3]], [float(one) for one in orientation[3:]]
        normal = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
        return sum(float(p) * n for p, n in zip(position, normal, strict=True))
    return float(frame if count > 1 else data.get("InstanceNumber") or 0)


def _part(data: Any) -> str:
    """Which part of a complex image it is; "" for magnitudes and where that is not said."""
    said = str(_groups(data, 0, "MRImageFrameTypeSequence").get("ComplexImageComponent") or "").upper()
    if said:
        return PARTS.get(said, "")
    kinds = [str(one).upper() for one in data.get("ImageType") or []]
    return next((PARTS[kind] for kind in kinds[2:4] if kind in PARTS), "")
