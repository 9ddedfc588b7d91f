"""The capture folder of a lensless camera: `capture.json` and the images.

Images lie in one npz, or in files of their own (.npy, .mat, TIFF or PNG stacks of one channel):

    dark            light blocked, at the exposure of the scene
    dark_points     light blocked, where the point sources had an exposure of their own
    point           a point source in the middle of the field, at the distance of the scene: the measured PSF
    around          point sources in other places, as far out as the field goes, for the rest of the PSF: M frames of
                    each, those of one place after those of another, as `around_px` names the places
    second          a point source elsewhere in the field: verification, never part of the PSF
    target          a picture that is known, in place of the scene: verification, and the scale
    target_picture  that picture on the image's pixels, (H, W) or (H, W, C), 0 to 1
    scene           the scene
    truth           reflectance of the scene (H, W, C), 0 to 1; only a simulation can know it

Images of M frames are (M, h, w) of a sensor of one channel, and (M, h, w, C) of C channels; M may be left out where
it is 1.
They are in counts, row 0 at the top, and have `detector_px_per_sample` pixels along the side of a sample, which are
averaged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.capture_record import RECORD_FILE, read_capture_record
from cidesign.calibration.circumstances import BenchState, Circumstances
from cidesign.calibration.lensless.optics import Array
from cidesign.errors import FileError
from cidesign.files import inside, load_npz, replacing_folder, require_folder, save_npz, write_json
from cidesign.io.arrays import as_numbers, read_array
from cidesign.pattern import ApertureMask
from cidesign.records import Digest, Finite, NotNegative, Positive, Strict, shown

SCHEMA_VERSION = 1
IMAGES_FILE = "images.npz"
# Dark frames are of the exposure of the images that they are for, which clocks keep to this much.
EXPOSURE_TOLERANCE = 1e-3

ArrayName = Literal["dark", "dark_points", "point", "around", "second", "target", "target_picture", "scene", "truth"]
PICTURES = ("target_picture", "truth")
PixelPair = tuple[Finite, Finite]
Channel = Annotated[str, Field(min_length=1, max_length=20)]


class LenslessArray(Strict):
    """Where an array lies (a file of the capture folder), what it is, and with which exposure it was taken."""

    file: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")]
    role: Annotated[str, Field(max_length=500)] = ""
    exposure_us: Positive | None = None


class SimulatedCamera(Strict):
    """The settings of a digital twin: the truth that a calibration should find again.

    Lengths in sensor samples; `faults`: what is wrong with the bench, by name and strength.
    """

    simulated_at: Annotated[str, Field(max_length=200)]
    shift_px: PixelPair
    rotation_deg: Finite
    distance_mm: Positive
    dark_counts: NotNegative
    gain_counts_per_photoelectron: Positive
    read_noise_counts: NotNegative
    white_counts: list[Positive]
    adc_bits: Annotated[int, Field(ge=4, le=24)]
    faults: dict[str, Finite]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    scene: Annotated[str, Field(max_length=4096)]


class LenslessCaptureRecord(Strict):
    """The content of `capture.json`.

    `second_px`: where the second point stands, in image pixels down and to the right of the first, from their known
    directions; None where nobody knows.  `around_px`: likewise where those of `around` stand, to a few pixels.
    """

    schema_version: Literal[1]
    kind: Literal["capture"]
    modality: Literal["lensless"]
    design_digest: Digest
    profile_digest: Digest
    exposure_us: Positive
    units: Literal["counts"]
    saturation_counts: Finite | None
    created_utc: Annotated[str, Field(max_length=64)]
    channels: Annotated[list[Channel], Field(min_length=1, max_length=16)]
    detector_px_per_sample: Annotated[int, Field(ge=1, le=64)] = 1
    second_px: PixelPair | None = None
    around_px: Annotated[tuple[PixelPair, ...], Field(max_length=100)] = ()
    arrays: dict[ArrayName, LenslessArray]
    bench_state: BenchState = BenchState()
    bench: SimulatedCamera | None = None

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
class LenslessCapture:
    """Images in counts with what is known of them: frames (M, C, h, w), pictures (C, H, W)."""

    path: Path
    record: LenslessCaptureRecord
    arrays: dict[str, NDArray[np.float64]]

    @property
    def scene(self) -> Array:
        """The scene (M, C, h, w), raw counts."""
        return self.frames("scene")

    @property
    def truth(self) -> Array | None:
        """The scene (C, H, W), when simulated."""
        return self.arrays.get("truth")

    @property
    def bench(self) -> SimulatedCamera | None:
        """The digital twin's settings, when simulated."""
        return self.record.bench

    def frames(self, name: str) -> Array:
        """The frames of an array; raises `FileError` when it was not captured."""
        if name not in self.arrays:
            raise FileError(f"{self.path}: this capture holds no {name}, only {shown(sorted(self.arrays))}")
        return self.arrays[name]

    def points_around(self) -> list[tuple[PixelPair, Array]]:
        """Where each point of `around` is said to stand, and its frames (M, C, h, w).

        Raises `FileError` where the places do not fit the frames.
        """
        if "around" not in self.arrays:
            return []
        frames, places = self.arrays["around"], self.record.around_px
        if not places or len(frames) % len(places):
            raise FileError(
                f"{self.path}: around has {len(frames)} frames, and around_px {len(places)} places; as many frames of "
                "each place are needed, those of one after those of another"
            )
        return list(zip(places, np.split(frames, len(places)), strict=True))

    def dark_of(self, name: str) -> Array:
        """Dark frames with the exposure of the array `name`; raises `FileError` where there are none."""
        exposure_us, found = self.record.exposure_of(name), []
        for dark in ("dark", "dark_points"):
            if dark in self.arrays:
                own_us = self.record.exposure_of(dark)
                if abs(own_us - exposure_us) <= EXPOSURE_TOLERANCE * exposure_us:
                    return self.arrays[dark]
                found.append(f"{dark} {own_us:g} us")
        if not found:
            raise FileError(f"{self.path}: no dark frames; block the light and capture some with the same exposure")
        raise FileError(
            f"{self.path}: {name} was exposed {exposure_us:g} us, but the dark frames are of another exposure "
            f"({', '.join(found)}); capture dark frames of {exposure_us:g} us"
        )

    def require_design(self, design: ApertureMask) -> None:
        """Raise `FileError` when the capture was taken with another mask."""
        if self.record.design_digest != design.design_digest:
            raise FileError(
                f"{self.path}: was recorded with mask {self.record.design_digest[:12]}, not with this run's "
                f"{design.design_digest[:12]}; name the run whose mask was in the camera"
            )


def read_lensless_capture(path: Path) -> LenslessCapture:
    """Read a capture folder; every array is checked for its shape and for numbers that are not finite.

    Raises `FileError` for one that is missing, damaged, of a newer version or of another modality.
    """
    folder = path.parent if path.name == RECORD_FILE else path
    require_folder(folder, "capture", f"make one with `cidesign simulate --out {folder}`, or record one")
    if not (folder / RECORD_FILE).is_file():
        raise FileError(f"{folder}: {RECORD_FILE} is missing; this is no capture folder, or one that is half written")
    record = read_capture_record(folder, LenslessCaptureRecord, "lensless", SCHEMA_VERSION)
    archives: dict[Path, dict[str, NDArray[np.generic]]] = {}
    arrays = {}
    for name, stored in record.arrays.items():
        values = _array(folder, name, stored.file, archives)
        arrays[str(name)] = _channels_first(folder, record, str(name), values)
    sizes = {name: array.shape[-2:] for name, array in arrays.items() if name not in PICTURES}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size[0]} x {size[1]}" for name, size in sizes.items())
        raise FileError(f"{folder}: images of several sizes: {listed}; capture all with one region and binning")
    if "target" in arrays and "target_picture" not in arrays:
        raise FileError(f"{folder}: holds a target, but no target_picture to hold it against; add the picture")
    return LenslessCapture(folder, record, arrays)


def write_lensless_capture(
    folder: Path, record: LenslessCaptureRecord, arrays: dict[str, NDArray[np.generic]], force: bool
) -> None:
    """Write a capture folder in one step and read it back.

    Raises `FileError` when `folder` exists and `force` is not set; what was there stays when writing fails.
    """
    with replacing_folder(folder, force) as temporary:
        save_npz(temporary / IMAGES_FILE, arrays)
        write_json(temporary / RECORD_FILE, record.model_dump(mode="json"))
        read_lensless_capture(temporary)


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


def _channels_first(folder: Path, record: LenslessCaptureRecord, name: str, values: Array) -> Array:
    """Frames as (M, C, h, w) of averaged samples, pictures as (C, H, W)."""
    channels, picture = len(record.channels), name in PICTURES
    found = values
    if picture and found.ndim == 2:
        found = np.repeat(found[..., None], channels, axis=-1)
    elif channels == 1 and not picture:
        found = found[..., None]
    if not picture and found.ndim == 3:
        found = found[None]
    if found.ndim != (3 if picture else 4) or found.shape[-1] != channels or 0 in found.shape:
        wanted = "(H, W), or (H, W, C)" if picture else "(M, h, w)" if channels == 1 else "(M, h, w, C)"
        raise FileError(f"{folder}: {name} has shape {values.shape}; {wanted} of {channels} channel(s) are needed")
    found = np.moveaxis(found, -1, -3)
    if not picture:
        return _averaged(folder, name, found, record.detector_px_per_sample)
    if found.min() < 0 or found.max() > 1:
        raise FileError(
            f"{folder}: {name} holds values from {found.min():g} to {found.max():g}; 0 (black) to 1 (white) are needed"
        )
    return np.ascontiguousarray(found)


def _averaged(folder: Path, name: str, frames: Array, step: int) -> Array:
    height, width = frames.shape[-2:]
    if height % step or width % step:
        raise FileError(
            f"{folder}: {name} of {height} x {width} pixels; both must be multiples of detector_px_per_sample, {step}: "
            "cut the region of interest to that"
        )
    if step == 1:
        return np.ascontiguousarray(frames)
    blocks = frames.reshape(*frames.shape[:-2], height // step, step, width // step, step)
    means: Array = blocks.mean(axis=(-3, -1))
    return means
