"""The capture folder of a scan of shots: `capture.json` and `shots.npz`.

k              (coils, shots, samples)  in the order of time, as recorded
noise          (coils, M)               samples without signal
truth          (H, W)                   the image itself; only a simulation can know it

and, to tell how the picture lies, the scan of a phantom that is known (both, or none):

phantom        (coils, shots, samples)
phantom_truth  (H, W)                   its drawing
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.capture_record import RECORD_FILE, read_capture_record, write_capture
from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.mri.kspace import LARGEST_SAMPLE, Samples
from cidesign.checks import FaultName
from cidesign.errors import FileError
from cidesign.files import load_npz, sha256_file
from cidesign.pattern import NonCartesian
from cidesign.pattern.shots import Unit, units_in_steps
from cidesign.records import Digest, Finite, Positive, Strict, shown

MODALITY = "mri-shots"
SCHEMA_VERSION = 1
ARRAYS_FILE = "shots.npz"
KINDS = {"k": "c", "noise": "c", "truth": "c"}
PHANTOM_KINDS = {"phantom": "c", "phantom_truth": "f"}
# Fields of view and dwell times by part, and samples in 1/FOV, that are those of one trajectory.  At 64 x 64 pixels
# samples so far from where they are taken to lie (all turned, all scaled, or each shot displaced) cost radial and
# spiral images 0.4 dB at most; a delay, which the calibration finds and corrects, would cost 1.1 dB left alone
# (benchmarks/mri/trajectory_error.py).  At 0.1 it would be 1.4 dB.
SAME_PART, SAME_STEPS = 1e-3, 0.05
Size = Annotated[int, Field(ge=1, le=100_000)]


class SimulatedShots(Strict):
    """The settings of a simulated scanner: the truth that a calibration should find again.

    `gain` is the size of a sample for one of the truth's orthonormal sums; `noise` the standard deviation of real and
    imaginary part before it, the mean over the coils; `correlation` that of the noise of neighbouring coils; the
    delays of the gradients along rows and columns; `faults` what is wrong with it.
    """

    coils: Annotated[int, Field(ge=1, le=128)]
    gain: Positive
    noise: Positive
    correlation: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    delay_rows_us: Finite
    delay_columns_us: Finite
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    scene: Annotated[str, Field(max_length=4096)]
    faults: dict[FaultName, Finite] = Field(default_factory=dict)

    @property
    def delays_ns(self) -> tuple[float, float]:
        """Of rows and columns, the fault included."""
        late = self.faults.get("trajectory-delay", 0.0)
        return 1e3 * (self.delay_rows_us + late), 1e3 * (self.delay_columns_us + late)


class ShotsCaptureRecord(Strict):
    """The content of `capture.json`."""

    schema_version: Literal[1]
    kind: Literal["capture"]
    modality: Literal["mri-shots"]
    design_digest: Digest
    profile_digest: Digest
    shots: Size
    samples: Size
    coils: Annotated[int, Field(ge=1, le=128)]
    created_utc: Annotated[str, Field(max_length=64)]
    arrays_sha256: Digest
    scanner: SimulatedShots | None
    bench_state: BenchState | None = None


class Beside(NamedTuple):
    """A trajectory in a file beside the samples: `points` (shots, samples, 2), rows of the image first, in `units`.

    FOV and pixels of the unit are those of the design.  `name` and `digest` are the file's.
    """

    points: NDArray[np.float64]
    units: Unit
    name: str
    digest: str


@dataclass(frozen=True)
class Recorded:
    """Where raw data say that samples lie, `points` (shots, samples, 2), rows of the image first.

    `points` None: they do not say it, and the design's are taken.  `units`: of the points; other units than 1/FOV are
    those of the design's image.  `size` (rows, columns), `fov_mm` of the image and `dwell_ns` of a sample are None
    where the file does not say them.
    """

    points: NDArray[np.float64] | None
    size: tuple[int, int] | None = None
    fov_mm: float | None = None
    dwell_ns: float | None = None
    units: Unit = "1/fov"

    def require_design(self, path: Path, design: NonCartesian) -> None:
        """Raise `FileError` for another image, field of view, dwell time or trajectory than the design's."""
        if self.size is not None and self.size != design.size:
            raise FileError(
                f"{path}: its image has {self.size[0]} x {self.size[1]} pixels (encoding.reconSpace.matrixSize), the "
                f"design {design.size[0]} x {design.size[1]}; name the run whose shots were played"
            )
        for name, found, wanted, unit in (
            ("field of view (encoding.reconSpace.fieldOfView_mm)", self.fov_mm, design.fov_mm, "mm"),
            ("dwell time (AcquisitionHeader.sample_time_us)", self.dwell_ns, float(design.dwell_ns), "ns"),
        ):
            if found is not None and abs(found / wanted - 1) > SAME_PART:
                raise FileError(
                    f"{path}: a {name} of {found:g} {unit}, the design has {wanted:g} {unit}; name the run whose shots "
                    "were played"
                )
        if self.points is None:
            return
        step = units_in_steps(design.fov_mm, design.size[1])[self.units]
        apart = np.linalg.norm(step * self.points - design.samples, axis=2)
        shot, sample = np.unravel_index(int(np.argmax(apart)), apart.shape)
        if apart[shot, sample] > SAME_STEPS:
            raise FileError(
                f"{path}: its trajectory is not the design's: sample {sample} of shot {shot} lies {apart.max():.3g} of "
                f"1/FOV from it (limit {SAME_STEPS:g}); name the run whose shots were played, or give the unit that it "
                "is in"
            )


@dataclass(frozen=True)
class RawShots:
    """A scan of shots as it was read: `k` (coils, shots, samples), and what else a capture folder holds.

    `recorded`: of a raw data file, which names no design; `notes`: how it was understood.
    """

    path: Path
    source: str
    k: Samples
    digest: str
    design_digest: str
    profile_digest: str
    noise: Samples | None = None
    truth: Samples | None = None
    phantom: Samples | None = None
    drawing: NDArray[np.float64] | None = None
    scanner: SimulatedShots | None = None
    created_utc: str = ""
    bench: BenchState = field(default_factory=BenchState)
    recorded: Recorded | None = None
    notes: tuple[str, ...] = ()

    @property
    def coils(self) -> int:
        """Receive channels."""
        return len(self.k)

    def require_design(self, design: NonCartesian) -> None:
        """Raise `FileError` for another design, and for other shots or samples than it has."""
        if self.recorded is None and self.design_digest != design.design_digest:
            raise FileError(
                f"{self.path}: was recorded with design {self.design_digest[:12]}, not with this run's "
                f"{design.design_digest[:12]}; name the run whose shots were played"
            )
        wanted = (design.shots, design.samples_per_shot)
        if self.k.shape[1:] != wanted:
            raise FileError(
                f"{self.path}: {self.k.shape[1]} shots of {self.k.shape[2]} samples, the design has {wanted[0]} of "
                f"{wanted[1]}"
            )
        if self.recorded is not None:
            self.recorded.require_design(self.path, design)


def write_shots_capture(
    folder: Path, record: ShotsCaptureRecord, arrays: dict[str, NDArray[np.generic]], force: bool
) -> None:
    """Write a capture folder in one step and read it back; `arrays_sha256` is filled in.

    Raises `FileError` when `folder` exists and `force` is not set.
    """
    write_capture(folder, record, arrays, ARRAYS_FILE, read_shots_capture, force)


def read_shots_capture(folder: Path) -> RawShots:
    """Read a capture folder; raises `FileError` for one that is damaged, changed or of a newer version."""
    if not (folder / RECORD_FILE).is_file():
        raise FileError(
            f"{folder}: no capture of shots ({RECORD_FILE} is missing); name a capture folder (its form is in "
            "docs/mri.md), ISMRMRD (.h5, .mrd), Siemens twix (.dat), or samples (.cfl, .npy) beside a trajectory"
        )
    record = read_capture_record(folder, ShotsCaptureRecord, MODALITY, SCHEMA_VERSION)
    path = folder / ARRAYS_FILE
    arrays = load_npz(path, "file of shots")
    digest = sha256_file(path)
    if digest != record.arrays_sha256:
        raise FileError(f"{folder}: {ARRAYS_FILE} is not the one that {RECORD_FILE} names; copy the capture again")
    optional = {"noise", "truth"} - set(arrays)
    wanted = {name: kind for name, kind in KINDS.items() if name not in optional}
    wanted |= PHANTOM_KINDS if set(PHANTOM_KINDS) & set(arrays) else {}
    if set(arrays) != set(wanted) or any(arrays[name].dtype.kind != kind for name, kind in wanted.items()):
        raise FileError(f"{path}: should hold {', '.join(KINDS)}, not {shown(sorted(arrays))}")
    size = (record.coils, record.shots, record.samples)
    for name in ("k", "phantom"):
        if name in arrays:
            require_samples(path, name, arrays[name], size)
    noise = arrays.get("noise")
    if noise is not None and (noise.ndim != 2 or len(noise) != record.coils or not np.isfinite(noise).all()):
        raise FileError(f"{path}: a noise scan of shape {noise.shape} does not fit {record.coils} coils")
    truth, phantom, drawing = (arrays.get(name) for name in ("truth", "phantom", "phantom_truth"))
    return RawShots(
        path=folder,
        source="simulated scanner" if record.scanner else "capture folder",
        k=arrays["k"].astype(np.complex64),
        digest=digest,
        design_digest=record.design_digest,
        profile_digest=record.profile_digest,
        noise=None if noise is None else noise.astype(np.complex64),
        truth=None if truth is None else truth.astype(np.complex64),
        phantom=None if phantom is None else phantom.astype(np.complex64),
        drawing=None if drawing is None else drawing.astype(np.float64),
        scanner=record.scanner,
        created_utc=record.created_utc,
        bench=record.bench_state or BenchState(),
    )


def require_samples(path: Path, name: str, k: NDArray[np.generic], size: tuple[int, ...]) -> None:
    """Raise `FileError` for samples of another size, that are not finite, all 0, or too large for a scan."""
    if k.shape != size:
        raise FileError(
            f"{path}: {name} of shape {k.shape}; {RECORD_FILE} says {size[0]} coils, {size[1]} shots, {size[2]} samples"
        )
    bad = k.size - int(np.count_nonzero(np.isfinite(k)))
    if bad:
        raise FileError(f"{path}: {bad} of {k.size} samples of {name} are not finite numbers")
    largest = float(np.abs(k).max())
    if not 0 < largest <= LARGEST_SAMPLE:
        raise FileError(f"{path}: samples of {name} up to {largest:g} cannot be those of a scan")
