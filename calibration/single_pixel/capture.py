"""The capture folder: what the detector read, frame by frame, and what was on the mirrors meanwhile.

`capture.json` says what was recorded and how; the arrays lie in `readings.npz`, or one by one as .npy or .csv:

    scene  (F,) or (R, F)  one reading per displayed frame, in display order; R repeats of the sequence
    dark   (M,)            readings with the light blocked
    white  (L, M)          all mirrors on, a white reference in place of the scene, at L light levels
    flat   like scene      the sequence on the white reference: how evenly the field is lit
    card   like scene      the sequence on a known card, whose picture (n, n) is `card_picture`
    reference like scene   a photodiode that sees the lamp during `scene`, less its own dark level
    time_us (F,)           when each frame of a sequence begins, where frames are not evenly spaced; of several
                           sequences (`sequence_starts`), from the start of each
    truth  (n, n)          the scene itself; only a simulation can know it

With sync frames in the export (`sync_every`), scene, flat and card hold their readings too, in display order.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from cidesign.calibration.capture_record import read_capture_record
from cidesign.calibration.circumstances import BenchState, Circumstances
from cidesign.checks import FaultName
from cidesign.errors import FileError
from cidesign.files import inside, load_npz, replacing_folder, require_folder, save_npz, write_bytes, write_json
from cidesign.io.arrays import ARRAY_SUFFIXES, as_numbers, read_array
from cidesign.io.pictures import STACK_SUFFIXES, read_image_stack
from cidesign.pattern import Encoding
from cidesign.records import Digest, Finite, Fraction, NotNegative, Positive, Strict, shown

SCHEMA_VERSION = 2
READINGS_FILE = "readings.npz"
GRAYCODE_FOLDER = "graycode"
# A detector that clips piles its largest readings up on one value; by chance, few readings share the maximum.
# Readings that take only a few values (a coarse converter) may share it for no such reason.
PILE_UP_MIN_COUNT = 5
PILE_UP_RATIO = 3
# Where readings share few values (low noise, coarse steps), the top one collects some by chance: more are asked for.
PILE_UP_BROAD = 0.25
PILE_UP_MIN_COUNT_COARSE, PILE_UP_RATIO_COARSE = 16, 6
PILE_UP_MIN_VALUES = 8
# A glossy card can be brighter than white, and a photographed one below black by its noise; grey levels are far beyond.
LEAST_REFLECTANCE, MOST_REFLECTANCE = -0.5, 2.0

ArrayName = Literal["scene", "dark", "white", "flat", "card", "card_picture", "reference", "time_us", "truth"]
# What is recorded while the sequence runs, and so can lose a trigger.
SequenceName = Literal["scene", "flat", "card"]


class SimulatedBench(Strict):
    """The settings of a digital twin: the truth that a calibration should find again.

    `simulated_at`: the twin works on whole super-pixels; single mirrors, optics and blur are not simulated.
    `gain_chosen` says who chose the gain; `faults` are what is wrong with the bench, with their strengths.
    """

    simulated_at: Literal["super-pixel"]
    dark_counts: NotNegative
    gain_counts_per_photoelectron: Positive
    gain_chosen: Annotated[str, Field(max_length=200)]
    photoelectrons_per_frame: Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
    read_noise_counts: NotNegative
    drift_percent: Annotated[float, Field(ge=0, lt=100, allow_inf_nan=False)]
    adc_bits: Annotated[int, Field(ge=1, le=24)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    scene: Annotated[str, Field(max_length=4096)]
    faults: Annotated[dict[FaultName, Finite], Field(default_factory=dict)]


class StoredArray(Strict):
    """Where an array lies (a file of the capture folder) and what it is; `light_fractions` go with `white`.

    `exposure_us` where it is not that of the capture.
    """

    file: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")]
    role: Annotated[str, Field(max_length=500)] = ""
    light_fractions: list[Fraction] | None = None
    exposure_us: Positive | None = None


class CaptureRecord(Strict):
    """The content of `capture.json`.

    `frame_period_us`: from the start of one frame to that of the next, None where it is not known; `sync_every` is
    that of the export that was shown.  `sequence_starts`: the first frame of each sequence where there were several,
    0 first; times are then those within each sequence, as nobody knows the time between two.
    """

    schema_version: Literal[1, 2]
    kind: Literal["capture"]
    modality: Literal["single-pixel"]
    design_digest: Digest
    profile_digest: Digest
    encoding: Encoding
    exposure_us: Positive
    units: Literal["counts"]
    saturation_counts: Finite | None
    created_utc: Annotated[str, Field(max_length=64)]
    arrays: dict[ArrayName, StoredArray]
    frame_period_us: Positive | None = None
    sync_every: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    sequence_starts: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2)] | None = None
    bench_state: BenchState = BenchState()
    bench: SimulatedBench | None = None

    @model_serializer(mode="wrap")
    def _said(self, dumped: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Nothing is said of sequences where there is one."""
        fields: dict[str, object] = dumped(self)
        return {name: value for name, value in fields.items() if (name, value) != ("sequence_starts", None)}

    @property
    def circumstances(self) -> Circumstances:
        """What a calibration must share with the capture."""
        return Circumstances(
            design_digest=self.design_digest,
            profile_digest=self.profile_digest,
            exposure_us=self.exposure_us,
            created_utc=self.created_utc,
            bench=self.bench_state,
        )


@dataclass(frozen=True)
class Capture:
    """Readings in counts with what is known of them; `record` is None for a bare array of readings.

    `notes`: what was decided while reading.
    """

    path: Path
    record: CaptureRecord | None
    arrays: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...] = ()

    @property
    def saturation_counts(self) -> float | None:
        """The reading at which the detector or its converter clips, where known."""
        return self.record.saturation_counts if self.record else None

    @property
    def bench(self) -> SimulatedBench | None:
        """The digital twin's settings, when simulated."""
        return self.record.bench if self.record else None

    @property
    def truth(self) -> NDArray[np.float64] | None:
        """The scene (n, n), when simulated."""
        return self.arrays.get("truth")

    def sequence_of(self, frames: int) -> NDArray[np.intp]:
        """The number of the sequence that each frame belongs to, (frames,), 0 the first.

        Raises `FileError` for starts that do not rise from 0, or lie beyond the frames.
        """
        starts = (self.record.sequence_starts if self.record else None) or [0]
        if starts[0] != 0 or any(np.diff(starts) <= 0) or starts[-1] >= frames:
            raise FileError(
                f"{self.path}: sequence_starts {shown(starts)}: the first frame of each sequence is needed, rising "
                f"from 0 and below the {frames} frames"
            )
        found: NDArray[np.intp] = np.searchsorted(starts, np.arange(frames), side="right") - 1
        return found

    def frame_times_us(self, frames: int) -> NDArray[np.float64] | None:
        """When each frame of a sequence began, (frames,), from `time_us` or the frame period; None where neither is
        known.

        Raises `FileError` for times of another number of frames, or that do not rise.
        """
        period_us = self.record.frame_period_us if self.record else None
        sequence = self.sequence_of(frames)
        if "time_us" not in self.arrays:
            return None if period_us is None else period_us * np.arange(frames, dtype=np.float64)
        times = self.arrays["time_us"]
        if times.shape != (frames,) or np.any(np.diff(times)[np.diff(sequence) == 0] <= 0):
            raise FileError(f"{self.path}: time_us holds {times.size} times; {frames} rising ones are needed")
        return times


def check_not_saturated(readings: NDArray[np.float64], saturation_counts: float | None, where: str) -> None:
    """Raise `FileError` that counts and lists saturated readings.

    Saturated is a reading at or above `saturation_counts`, or a pile-up of readings on the largest value: at
    least 5 of them, at least 1 % of all, over 3 times as many as on the next lower value, and 8 different values; 16
    and 6 times where four or more readings share a value on average.
    """
    if saturation_counts is not None:
        indices = np.flatnonzero(readings >= saturation_counts)
        level = f"at or above the saturation level of {saturation_counts:g} counts"
    else:
        indices = np.empty(0, dtype=np.intp)
        level = ""
    if not indices.size:
        indices = _pile_up(readings)
        level = f"piled up on the largest value, {readings.max():g} counts, as of a detector that clips"
    if indices.size:
        listed = ", ".join(str(int(index)) for index in indices[:8]) + (", ..." if indices.size > 8 else "")
        raise FileError(
            f"{where}: {indices.size} of {readings.size} readings are {level} (readings {listed}); "
            "lower the light, the gain or the exposure and record again",
            fault="saturation",
        )


def _pile_up(readings: NDArray[np.float64]) -> NDArray[np.intp]:
    values, counts = np.unique(readings, return_counts=True)
    at_top = int(counts[-1])
    broad = values.size > PILE_UP_BROAD * readings.size
    least = PILE_UP_MIN_COUNT if broad else PILE_UP_MIN_COUNT_COARSE
    ratio = PILE_UP_RATIO if broad else PILE_UP_RATIO_COARSE
    enough = at_top >= max(least, 0.01 * readings.size)
    if values.size < PILE_UP_MIN_VALUES or not enough or at_top <= ratio * int(counts[-2]):
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(readings == values[-1])


def read_capture(path: Path) -> Capture:
    """Read a capture folder, or a bare file of scene readings (.npy, .csv; see `readers`).

    Every array is checked for its shape and for non-finite numbers.  Raises `FileError`.
    """
    if path.is_file() and path.name not in ("capture.json", READINGS_FILE):
        if path.suffix.lower() in (".mat", ".npz"):
            raise FileError(f"{path}: is this a full-basis Hadamard capture? Read it with --reader hadamard")
        scene = read_array(path, "scene")
        if scene.ndim not in (1, 2):
            raise FileError(
                f"{path}: an array of shape {scene.shape} is no record of readings, (frames,) or (repeats, frames). "
                "Are these patterns? Those made elsewhere become a design by `cidesign design`; this needs a run "
                "of `cidesign distill`"
            )
        return Capture(path, None, {"scene": scene})
    folder = path.parent if path.is_file() else path
    require_folder(folder, "capture", f"make one with `cidesign simulate --out {path}`, or record one")
    if not (folder / "capture.json").is_file():
        raise FileError(f"{folder}: capture.json is missing; this is no capture folder, or one that is half written")
    record = read_capture_record(folder, CaptureRecord, "single-pixel", SCHEMA_VERSION)
    archives: dict[Path, dict[str, NDArray[np.generic]]] = {}
    notes: list[str] = []
    arrays = {str(name): _read_stored(folder, name, stored, archives, notes) for name, stored in record.arrays.items()}
    _check_shapes(folder, record, arrays)
    return Capture(folder, record, arrays, tuple(notes))


def write_capture(
    folder: Path,
    record: CaptureRecord,
    arrays: dict[str, NDArray[np.generic]],
    force: bool,
    graycode: NDArray[np.uint16] | None = None,
) -> None:
    """Write a capture folder in one step; nothing there before is lost when it fails.

    `graycode` (F, H, W): pictures of a camera, written to graycode/ as 16-bit PNG.  Raises `FileError` when `folder`
    exists and `force` is not set.
    """
    with replacing_folder(folder, force) as temporary:
        save_npz(temporary / READINGS_FILE, arrays)
        for number, picture in enumerate(graycode if graycode is not None else []):
            write_bytes(temporary / GRAYCODE_FOLDER / f"graycode_{number:02d}.png", _png(picture))
        write_json(temporary / "capture.json", record.model_dump(mode="json"))
        read_capture(temporary)


def _png(picture: NDArray[np.uint16]) -> bytes:
    target = io.BytesIO()
    Image.fromarray(picture).save(target, format="PNG")
    return target.getvalue()


def _read_stored(
    folder: Path,
    name: str,
    stored: StoredArray,
    archives: dict[Path, dict[str, NDArray[np.generic]]],
    notes: list[str],
) -> NDArray[np.float64]:
    path = inside(folder, stored.file, "capture record")
    if name == "card_picture" and path.suffix.lower() in STACK_SUFFIXES:
        return _reflectances(path, read_image_stack(path, name), notes)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        array = read_array(path, name)
        return _reflectances(path, array, notes) if name == "card_picture" else array
    if path.suffix.lower() != ".npz":
        raise FileError(
            f"{folder}: capture.json names {stored.file!r} for {name}; .npz, {', '.join(ARRAY_SUFFIXES)} are read"
        )
    if path not in archives:
        archives[path] = load_npz(path, "array file")
    content = archives[path]
    if name not in content:
        raise FileError(f"{path}: holds no array {name!r}, only {shown(sorted(content))}")
    if name == "card_picture":
        return _reflectances(path, content[name], notes)
    return as_numbers(content[name], path, name)


def _reflectances(path: Path, picture: NDArray[np.generic], notes: list[str]) -> NDArray[np.float64]:
    """Reflectances of a card, 0 to 1; grey levels of 8 or 16 bits become those, 1 for their full scale, with a note.

    Raises `FileError` for other values, which no bench should be blamed for.
    """
    values = as_numbers(picture, path, "card_picture")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if picture.dtype in (np.uint8, np.uint16) and high > 1:
        full = 255 if picture.dtype == np.uint8 else 65535
        notes.append(f"{path.name}: card_picture holds grey levels 0 to {high:g}; {full} is taken as reflectance 1")
        return values / full
    if low < LEAST_REFLECTANCE or high > MOST_REFLECTANCE:
        raise FileError(
            f"{path}: card_picture holds values {low:g} to {high:g}; reflectances from 0 (black) to 1 (white) are "
            "needed: divide grey levels by their full scale, or give an 8- or 16-bit picture"
        )
    return values


def _check_shapes(folder: Path, record: CaptureRecord, arrays: dict[str, NDArray[np.float64]]) -> None:
    wanted = {"dark": (1,), "time_us": (1,), "white": (2,), "card_picture": (2,), "truth": (2,)}
    for name, array in arrays.items():
        allowed = wanted.get(name, (1, 2))
        if array.ndim not in allowed or array.size == 0:
            dimensions = " or ".join(str(count) for count in allowed)
            raise FileError(f"{folder}: {name} has shape {array.shape}; {dimensions} filled dimension(s) are needed")
    if "white" in arrays:
        fractions = record.arrays["white"].light_fractions
        levels = arrays["white"].shape[0]
        if fractions is None or len(fractions) != levels:
            raise FileError(
                f"{folder}: white holds {levels} light levels, but capture.json gives "
                f"{len(fractions or [])} light_fractions; give one for each, 1 for the full light"
            )
    for name in ("truth", "card_picture"):
        if name in arrays and arrays[name].shape[0] != arrays[name].shape[1]:
            raise FileError(f"{folder}: {name} has shape {arrays[name].shape}; the scene is square")
    if "card" in arrays and "card_picture" not in arrays:
        raise FileError(f"{folder}: card is there without card_picture, the (n, n) reflectances of the card")
