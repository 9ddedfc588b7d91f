"""The capture folder of an SD-CASSI bench: `capture.json` and the images.

Images lie in one npz, or in files of their own (.npy, .mat, TIFF or PNG stacks):

    dark        (M, h, w)  light blocked
    flat        (M, h, w)  the lamp through the system without the mask, evenly lit
    lines       (n, h, w)  the mask lit by n narrow lines, one after the other; averages of several frames
    flat_lines  (n, h, w)  the same lines without the mask
    check_line  (h, w)     the mask lit by one more line, which takes no part in the fit
    dark_lines  (M, h, w)  light blocked, where the lines had an exposure of their own
    white       (R, h, w)  a white target in place of the scene, lit by the lamp: verification, never part of a fit
    scene       (R, h, w)  the scene, R times
    truth       (L, H, W)  reflectance of the scene on the mask's grid; only a simulation can know it

Images are in raw detector pixels, row 0 at the top; h and w are multiples of `detector_px_per_code_px`.

A file of images alone (or a folder of numbered pictures) is a capture of the scene, of which nothing else is known.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cidesign.calibration.capture_record import RECORD_FILE, read_capture_record
from cidesign.calibration.circumstances import BenchState, Circumstances
from cidesign.errors import FileError
from cidesign.files import inside, load_npz, replacing_folder, require_folder, save_npz, write_json
from cidesign.io.arrays import as_numbers, read_array
from cidesign.io.pictures import STACK_SUFFIXES
from cidesign.pattern import ApertureMask
from cidesign.records import Digest, Finite, NotNegative, Positive, Strict, shown

SCHEMA_VERSION = 1

IMAGES_FILE = "images.npz"
# With fewer lines a curve of three terms has nothing left to be checked against.
MIN_LINES = 5

ArrayName = Literal[
    "dark", "flat", "lines", "flat_lines", "check_line", "dark_lines", "white", "scene", "truth"
]  # fmt: skip
DIMENSIONS: dict[str, tuple[int, ...]] = {
    "dark": (3,), "flat": (3,), "lines": (3,), "flat_lines": (3,), "check_line": (2,), "dark_lines": (3,),
    "white": (2, 3), "scene": (2, 3), "truth": (3,),
}  # fmt: skip
WavelengthNm = Annotated[float, Field(ge=100, le=30_000, allow_inf_nan=False)]
PixelPair = tuple[Finite, Finite]


class Spectrum(Strict):
    """Relative values at rising wavelengths, straight lines between them; `source` says who measured it and how."""

    wavelength_nm: Annotated[list[WavelengthNm], Field(min_length=2, max_length=10_000)]
    relative: Annotated[list[NotNegative], Field(min_length=2, max_length=10_000)]
    source: Annotated[str, Field(max_length=500)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.wavelength_nm) != len(self.relative):
            raise ValueError(
                f"{len(self.relative)} values for {len(self.wavelength_nm)} wavelengths; give one for each"
            )
        if any(b <= a for a, b in pairwise(self.wavelength_nm)):
            raise ValueError("the wavelengths of a spectrum must rise")
        return self

    def at(self, wavelengths_nm: NDArray[np.float64], what: str) -> NDArray[np.float64]:
        """Values at `wavelengths_nm` (L,); raises `FileError` for one outside the spectrum or without light."""
        low, high = self.wavelength_nm[0], self.wavelength_nm[-1]
        outside = [f"{nm:g}" for nm in wavelengths_nm if not low <= nm <= high]
        if outside:
            raise FileError(
                f"{what}: known from {low:g} to {high:g} nm, which leaves out the band(s) at {', '.join(outside)} nm; "
                "record the spectrum over all bands"
            )
        values: NDArray[np.float64] = np.interp(wavelengths_nm, self.wavelength_nm, self.relative)
        if not (values > 0).all():
            raise FileError(
                f"{what}: 0 at {wavelengths_nm[int(values.argmin())]:g} nm; a band without light is no band"
            )
        return values


class CassiArray(Strict):
    """Where an array lies (a file of the capture folder), what it is, and with which exposure it was taken."""

    file: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")]
    role: Annotated[str, Field(max_length=500)] = ""
    exposure_us: Positive | None = None


class SimulatedCassiBench(Strict):
    """The settings of a digital twin: the truth that a calibration should find again.

    `to_detector` (2, 3): where (row, column, 1) of the code lies on the detector, in code pixels, before dispersion;
    `shift_px` and `across_px` (L,): how far band k is shifted along and across the axis; `response` (L,): light of
    the bands; `mask_turn`: what was done to the plate.  `faults`: what is wrong with the bench, by name and strength.
    """

    simulated_at: Annotated[str, Field(max_length=200)]
    to_detector: tuple[tuple[Finite, Finite, Finite], tuple[Finite, Finite, Finite]]
    shift_px: list[Finite]
    across_px: list[Finite]
    response: list[Positive]
    psf_px: NotNegative
    edge_bias_um: Finite
    vignetting_percent: NotNegative
    prnu_percent: NotNegative
    dark_counts: NotNegative
    gain_counts_per_photoelectron: Positive
    photoelectrons_full_scale: Positive
    read_noise_counts: NotNegative
    adc_bits: Annotated[int, Field(ge=4, le=24)]
    faults: dict[str, Finite]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    scene: Annotated[str, Field(max_length=4096)]


class CassiCaptureRecord(Strict):
    """The content of `capture.json`.

    `code_origin_px`: where the centre of code pixel (0, 0) should lie in the least shifted band, in code pixels
    from the centre of the first one of the image; None where nobody knows.  `lamp` lights white target, flat and
    scene; `detector_response` is None where the lamp's spectrum was measured with the detector's response in it.
    """

    schema_version: Literal[1]
    kind: Literal["capture"]
    modality: Literal["cassi"]
    design_digest: Digest
    profile_digest: Digest
    exposure_us: Positive
    units: Literal["counts"]
    saturation_counts: Finite | None
    created_utc: Annotated[str, Field(max_length=64)]
    detector_px_per_code_px: Annotated[int, Field(ge=1, le=32)]
    code_origin_px: PixelPair | None = None
    line_nm: Annotated[list[WavelengthNm], Field(max_length=1000, default_factory=list)]
    check_line_nm: WavelengthNm | None = None
    lamp: Spectrum | None = None
    detector_response: Spectrum | None = None
    arrays: dict[ArrayName, CassiArray]
    bench_state: BenchState = BenchState()
    bench: SimulatedCassiBench | None = None

    @property
    def circumstances(self) -> Circumstances:
        """What a calibration and the captures it is used for must share."""
        return Circumstances(
            design_digest=self.design_digest,
            profile_digest=self.profile_digest,
            exposure_us=self.exposure_us,
            created_utc=self.created_utc,
            bench=self.bench_state,
        )

    def exposure_of(self, name: str) -> float:
        """The exposure of an array, us: its own, or that of the capture."""
        own = {str(key): stored.exposure_us for key, stored in self.arrays.items()}[name]
        return self.exposure_us if own is None else own


@dataclass(frozen=True)
class CassiCapture:
    """Images in counts with what is known of them.

    `record` is None for images alone; `notes` say how those were understood.
    """

    path: Path
    record: CassiCaptureRecord | None
    arrays: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> CassiCaptureRecord:
        """What was written down with the images; raises `FileError` where nothing was."""
        if self.record is None:
            raise FileError(
                f"{self.path}: images alone say nothing of the bench; calibrate from a capture folder with what "
                "`cidesign calibrate --plan` lists, or from a description of the instrument (--instrument FILE.toml)"
            )
        return self.record

    @property
    def saturation_counts(self) -> float | None:
        """Where the converter clips, where it was written down."""
        return None if self.record is None else self.record.saturation_counts

    @property
    def scene(self) -> NDArray[np.float64]:
        """The scene (R, h, w), raw counts; raises `FileError` when it was not captured."""
        return self.frames("scene")

    @property
    def white(self) -> NDArray[np.float64] | None:
        """The white target (R, h, w), raw counts, where it was captured."""
        return self.frames("white") if "white" in self.arrays else None

    @property
    def truth(self) -> NDArray[np.float64] | None:
        """The scene (L, H, W), when simulated."""
        return self.arrays.get("truth")

    @property
    def bench(self) -> SimulatedCassiBench | None:
        """The digital twin's settings, when simulated."""
        return None if self.record is None else self.record.bench

    def frames(self, name: str) -> NDArray[np.float64]:
        """An array as frames (R, h, w); raises `FileError` when it was not captured."""
        if name not in self.arrays:
            raise FileError(f"{self.path}: this capture holds no {name}, only {shown(sorted(self.arrays))}")
        array = self.arrays[name]
        return array[None] if array.ndim == 2 else array

    def require_design(self, design: ApertureMask) -> None:
        """Raise `FileError` when the capture was taken with another mask, as far as is known."""
        if self.record is not None and self.record.design_digest != design.design_digest:
            raise FileError(
                f"{self.path}: was recorded with mask {self.record.design_digest[:12]}, not with this run's "
                f"{design.design_digest[:12]}; name the run whose mask was in the bench"
            )


def read_cassi_capture(path: Path, array: str = "scene") -> CassiCapture:
    """Read a capture folder, or images of a scene alone (`read_array`; `array` names them in a file of several).

    Every array is checked for its shape and for numbers that are not finite.  Raises `FileError` for one that is
    missing, damaged, of a newer version or of another modality.
    """
    if path.is_file() and path.name != RECORD_FILE:
        return _images_alone(path, array)
    folder = path.parent if path.is_file() else path
    require_folder(folder, "capture", f"make one with `cidesign simulate --out {folder}`, or record one")
    if not (folder / RECORD_FILE).is_file() and any(one.suffix.lower() in STACK_SUFFIXES for one in folder.iterdir()):
        return _images_alone(folder, array)
    if not (folder / RECORD_FILE).is_file():
        raise FileError(f"{folder}: {RECORD_FILE} is missing; this is no capture folder, or one that is half written")
    record = _record(folder)
    archives: dict[Path, dict[str, NDArray[np.generic]]] = {}
    arrays = {str(name): _array(folder, name, stored.file, archives) for name, stored in record.arrays.items()}
    _check_shapes(folder, record, arrays)
    return CassiCapture(folder, record, arrays)


def _images_alone(path: Path, array: str) -> CassiCapture:
    """The scene (h, w) or (R, h, w) of a file; of three axes, the shortest counts the images."""
    images = read_array(path, array)
    notes = [f"{path.name} holds images alone: mask, device and exposure they were recorded with are not known"]
    if images.ndim == 3 and images.shape[-1] < min(images.shape[:2]):
        images = np.ascontiguousarray(np.moveaxis(images, -1, 0))
        notes.append(f"{path.name}: its last axis counts {len(images)} images")
    if images.ndim not in (2, 3) or 0 in images.shape:
        raise FileError(
            f"{path}: {array} has shape {images.shape}; the detector's image of a scene is (rows, columns), or several "
            "of them: (images, rows, columns)"
        )
    return CassiCapture(path, None, {"scene": images}, tuple(notes))


def write_cassi_capture(
    folder: Path, record: CassiCaptureRecord, arrays: dict[str, NDArray[np.generic]], force: bool
) -> None:
    """Write a capture folder in one step and read it back.

    Raises `FileError` when `folder` exists and `force` is not set; what was there stays when writing fails.
    """
    with replacing_folder(folder, force) as temporary:
        save_npz(temporary / IMAGES_FILE, arrays)
        write_json(temporary / RECORD_FILE, record.model_dump(mode="json"))
        read_cassi_capture(temporary)


def _record(folder: Path) -> CassiCaptureRecord:
    return read_capture_record(folder, CassiCaptureRecord, "cassi", SCHEMA_VERSION)


def _array(
    folder: Path, name: str, file: str, archives: dict[Path, dict[str, NDArray[np.generic]]]
) -> NDArray[np.float64]:
    path = inside(folder, file, "capture record")
    if path.suffix.lower() != ".npz":
        return read_array(path, name)
    if path not in archives:
        archives[path] = load_npz(path, "image file")
    if name not in archives[path]:
        raise FileError(f"{path}: holds no array {name!r}, only {shown(sorted(archives[path]))}")
    return as_numbers(archives[path][name], path, name)


def _check_shapes(folder: Path, record: CassiCaptureRecord, arrays: dict[str, NDArray[np.float64]]) -> None:
    sizes: dict[tuple[int, ...], str] = {}
    for name, array in arrays.items():
        if array.ndim not in DIMENSIONS[name] or array.size == 0:
            wanted = " or ".join(str(count) for count in DIMENSIONS[name])
            raise FileError(f"{folder}: {name} has shape {array.shape}; {wanted} filled dimension(s) are needed")
        if name != "truth":
            sizes.setdefault(array.shape[-2:], name)
    if len(sizes) > 1:
        listed = ", ".join(f"{name} {size[0]} x {size[1]}" for size, name in sizes.items())
        raise FileError(f"{folder}: images of several sizes: {listed}; capture all with one region and binning")
    step = record.detector_px_per_code_px
    for size in sizes:
        if size[0] % step or size[1] % step:
            raise FileError(
                f"{folder}: images of {size[0]} x {size[1]} pixels; both must be multiples of detector_px_per_code_px, "
                f"{step}: cut the region of interest to that"
            )
    for name in ("lines", "flat_lines"):
        if name in arrays and len(arrays[name]) != len(record.line_nm):
            raise FileError(
                f"{folder}: {len(arrays[name])} images in {name}, but line_nm lists {len(record.line_nm)} wavelengths; "
                "give one for each, in the order of the images"
            )
    if "check_line" in arrays and record.check_line_nm is None:
        raise FileError(f"{folder}: check_line was captured, but {RECORD_FILE} gives no check_line_nm")
