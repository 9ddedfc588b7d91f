"""The capture folder: what the detector read, frame by frame, and what was on the mirrors meanwhile.

`capture.json` says what was recorded and how; the arrays lie in `readings.npz`, or one by one as .npy or .csv:

    scene  (F,) or (R, F)  one reading per displayed frame, in display order; R repeats of the sequence
    dark   (M,)            readings with the light blocked
    white  (L, M)          all mirrors on, a white reference in place of the scene, at L light levels
    truth  (n, n)          the scene itself; only a simulation can know it
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cidesign.calibration.readers import ARRAY_SUFFIXES, as_numbers, read_array
from cidesign.errors import FileError
from cidesign.files import inside, load_npz, read_json, replacing_folder, save_npz, write_json
from cidesign.pattern import Encoding, PatternStack
from cidesign.records import first_problem, shown

SCHEMA_VERSION = 1
READINGS_FILE = "readings.npz"
# A detector that clips piles its largest readings up on one value; by chance, few readings share the maximum.
# Readings that take only a few values (a coarse converter) may share it for no such reason.
PILE_UP_MIN_COUNT = 5
PILE_UP_RATIO = 3
PILE_UP_MIN_VALUES = 8

ArrayName = Literal["scene", "dark", "white", "truth"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulatedBench(_Strict):
    """The settings of a digital twin: the truth that a calibration should find again.

    `simulated_at`: the twin works on whole super-pixels; single mirrors, optics and blur are not simulated.
    `gain_chosen` says who chose the gain.
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


class StoredArray(_Strict):
    """Where an array lies (a file of the capture folder) and what it is; `light_fractions` go with `white`."""

    file: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")]
    role: Annotated[str, Field(max_length=500)] = ""
    light_fractions: list[Fraction] | None = None


class CaptureRecord(_Strict):
    """The content of `capture.json`."""

    schema_version: Literal[1]
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
    bench: SimulatedBench | None = None


@dataclass(frozen=True)
class Capture:
    """Readings in counts with what is known of them; `record` is None for a bare array of readings."""

    path: Path
    record: CaptureRecord | None
    arrays: dict[str, NDArray[np.float64]]

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

    def scene(self, design: PatternStack) -> NDArray[np.float64]:
        """The readings (R, F) of the scene in display order, checked against the design.

        Raises `FileError` when they are missing, belong to another design, differ in number from its frames, or
        are saturated.
        """
        if "scene" not in self.arrays:
            raise FileError(f"{self.path}: this capture holds no scene readings, only {shown(self.arrays)}")
        _check_design(self, design)
        readings = np.atleast_2d(self.arrays["scene"])
        frames = len(design.frames())
        if readings.ndim != 2 or readings.shape[0] == 0 or readings.shape[1] != frames:
            raise FileError(
                f"{self.path}: {_count_text(self.arrays['scene'])}, but the design shows {frames} frames "
                f"({design.count} patterns, {design.encoding}); {_count_hint(readings, design)}"
            )
        check_not_saturated(readings, self.saturation_counts, f"{self.path}: scene")
        if frames > 2 and np.ptp(readings) == 0:
            raise FileError(
                f"{self.path}: all {readings.size} scene readings are {readings.flat[0]:g}; the detector is dead, "
                "saturated or not connected, or the mirrors did not move"
            )
        return readings


def check_not_saturated(readings: NDArray[np.float64], saturation_counts: float | None, where: str) -> None:
    """Raise `FileError` that counts and lists saturated readings.

    Saturated is a reading at or above `saturation_counts`, or a pile-up of readings on the largest value: at
    least 5 of them, at least 1 % of all, over 3 times as many as on the next lower value, and 8 different values.
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
            "lower the light, the gain or the exposure and record again"
        )


def _pile_up(readings: NDArray[np.float64]) -> NDArray[np.intp]:
    values, counts = np.unique(readings, return_counts=True)
    at_top = int(counts[-1])
    enough = at_top >= max(PILE_UP_MIN_COUNT, 0.01 * readings.size)
    if values.size < PILE_UP_MIN_VALUES or not enough or at_top <= PILE_UP_RATIO * int(counts[-2]):
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(readings == values[-1])


def _check_design(capture: Capture, design: PatternStack) -> None:
    record = capture.record
    if record is None:
        return
    if record.design_digest != design.design_digest:
        raise FileError(
            f"{capture.path}: was recorded with design {record.design_digest[:12]}, not with this run's "
            f"{design.design_digest[:12]}; name the run whose patterns were shown"
        )
    if record.encoding != design.encoding:
        raise FileError(f"{capture.path}: encoding is {record.encoding!r}, the design's is {design.encoding!r}")


def _count_text(readings: NDArray[np.float64]) -> str:
    if readings.ndim <= 1:
        return f"{readings.size} scene readings"
    return f"scene readings of shape {readings.shape}"


def _count_hint(readings: NDArray[np.float64], design: PatternStack) -> str:
    frames = len(design.frames())
    count = readings.shape[-1] if readings.ndim else 0
    if count and count % frames == 0:
        return f"for {count // frames} repeats of the sequence store an array of shape ({count // frames}, {frames})"
    if design.encoding == "complementary" and count == design.count:
        return "store both readings of each pair, in display order, not their difference"
    if design.encoding == "offset" and count == design.count:
        return "the all-on frame that follows the patterns is missing"
    return "look for lost or extra triggers, and record again"


def read_capture(path: Path) -> Capture:
    """Read a capture folder, or a bare .npy or .csv file of scene readings.

    Every array is checked for its shape and for non-finite numbers.  Raises `FileError`.
    """
    if path.is_file() and path.name not in ("capture.json", READINGS_FILE):
        if path.suffix.lower() in (".mat", ".npz"):
            raise FileError(f"{path}: is this a full-basis Hadamard capture? Read it with --reader hadamard")
        return Capture(path, None, {"scene": read_array(path, "scene")})
    folder = path.parent if path.is_file() else path
    if not folder.is_dir():
        raise FileError(f"{path}: no such capture; make one with `cidesign simulate --out {path}`, or record one")
    if not (folder / "capture.json").is_file():
        raise FileError(f"{folder}: capture.json is missing; this is no capture folder, or one that is half written")
    raw = read_json(folder / "capture.json", "capture record")
    record = _validated(raw, folder)
    archives: dict[Path, dict[str, NDArray[np.generic]]] = {}
    arrays = {str(name): _read_stored(folder, name, stored, archives) for name, stored in record.arrays.items()}
    _check_shapes(folder, record, arrays)
    return Capture(folder, record, arrays)


def write_capture(folder: Path, record: CaptureRecord, arrays: dict[str, NDArray[np.generic]], force: bool) -> None:
    """Write a capture folder in one step; nothing there before is lost when it fails.

    Raises `FileError` when `folder` exists and `force` is not set.
    """
    with replacing_folder(folder, force) as temporary:
        save_npz(temporary / READINGS_FILE, arrays)
        write_json(temporary / "capture.json", record.model_dump(mode="json"))
        read_capture(temporary)


def _validated(raw: dict[str, object], folder: Path) -> CaptureRecord:
    version = raw.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FileError(
            f"{folder}: capture.json has schema version {version}, this program reads {SCHEMA_VERSION}; update cidesign"
        )
    try:
        return CaptureRecord.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder}: capture.json: {first_problem(error)}") from error


def _read_stored(
    folder: Path, name: str, stored: StoredArray, archives: dict[Path, dict[str, NDArray[np.generic]]]
) -> NDArray[np.float64]:
    path = inside(folder, stored.file, "capture record")
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return read_array(path, name)
    if path.suffix.lower() != ".npz":
        raise FileError(f"{folder}: capture.json names {stored.file!r} for {name}; .npz, .npy and .csv are read")
    if path not in archives:
        archives[path] = load_npz(path, "array file")
    content = archives[path]
    if name not in content:
        raise FileError(f"{path}: holds no array {name!r}, only {shown(sorted(content))}")
    return as_numbers(content[name], path, name)


def _check_shapes(folder: Path, record: CaptureRecord, arrays: dict[str, NDArray[np.float64]]) -> None:
    wanted = {"scene": (1, 2), "dark": (1,), "white": (2,), "truth": (2,)}
    for name, array in arrays.items():
        if array.ndim not in wanted[name] or array.size == 0:
            dimensions = " or ".join(str(count) for count in wanted[name])
            raise FileError(f"{folder}: {name} has shape {array.shape}; {dimensions} filled dimension(s) are needed")
    if "white" in arrays:
        fractions = record.arrays["white"].light_fractions
        levels = arrays["white"].shape[0]
        if fractions is None or len(fractions) != levels:
            raise FileError(
                f"{folder}: white holds {levels} light levels, but capture.json gives "
                f"{len(fractions or [])} light_fractions; give one for each, 1 for the full light"
            )
    if "truth" in arrays and arrays["truth"].shape[0] != arrays["truth"].shape[1]:
        raise FileError(f"{folder}: truth has shape {arrays['truth'].shape}; the scene is square")
