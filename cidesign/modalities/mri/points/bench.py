"""A scanner that measures points of a volume: its twin, its calibration, the plan of scans, and reconstructions."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from cidesign.calibration.mri.capture import SimulatedScanner
from cidesign.calibration.mri.points.capture import write_points_capture
from cidesign.calibration.mri.points.plan import points_plan
from cidesign.calibration.mri.points.raw import read_points
from cidesign.calibration.mri.points.record import (
    StoredPointsCalibration,
    read_points_calibration,
    write_points_calibration,
)
from cidesign.calibration.mri.points.twin import FAULTS, points_record, simulate_volume
from cidesign.calibration.mri.points.verify import calibrate_and_verify_volume
from cidesign.calibration.mri.points.volume import RawVolume
from cidesign.calibration.mri.twin import scanner_settings
from cidesign.calibration.written import Row, Written, estimates_table
from cidesign.errors import InputError
from cidesign.export.mri.points.order import ordered_points
from cidesign.files import JsonObject
from cidesign.modalities.mri.bench import PHANTOM_SEED_OFFSET
from cidesign.modalities.mri.points.record import PointsReconstructionRecord
from cidesign.modalities.mri.points.run import PointsRun
from cidesign.modalities.mri.points.scenes import procedural_volume, read_volume, volume_coils
from cidesign.modality import Bench
from cidesign.pattern import CartesianPoints
from cidesign.records import Finite, Positive, now_utc
from cidesign.text import table
from cidesign.verb_settings import Name, VerbSettings

if TYPE_CHECKING:
    from cidesign.calibration.plan import PlanStep
    from cidesign.checks import FaultName
    from cidesign.modalities.mri.points.reconstruct import PointsReconstructor
    from cidesign.reconstruct.student import Student

SELF_CALIBRATED = "no calibration was named: noise, coil maps and scale are those of the capture's own centre"


class SimulatePoints(VerbSettings):
    """What `simulate` can be told of a scanner; `coils` and `noise` None: as the run.

    `all_points`: all points of the matrix, not the design's.
    """

    coils: Annotated[int, Field(ge=1, le=128)] | None = None
    gain: Positive = 1e-3
    noise: Positive | None = None
    correlation: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.3
    echo_shift_samples: Finite = 0.3
    oversampling: Annotated[int, Field(ge=1, le=2)] = 2
    all_points: bool = False


class ReadPoints(VerbSettings):
    """What an ISMRMRD file may leave open: which measurement, encoding and slab; other captures leave nothing."""

    measurement: Name | None = None
    encoding: int | None = None
    slice_index: int | None = None


class CalibratePoints(ReadPoints):
    """`acs_lines` and `acs_partitions`, `kernel`: of the coil maps."""

    acs_lines: int | None = None
    acs_partitions: int | None = None
    kernel: int | None = None


class PointsBench(Bench[PointsRun, RawVolume, StoredPointsCalibration, SimulatePoints, CalibratePoints, ReadPoints]):
    """Noise scan, the points of the design or all of them."""

    simulate_settings = SimulatePoints
    calibrate_settings = CalibratePoints
    read_settings = ReadPoints
    faults = FAULTS

    def plan(self, run: PointsRun) -> "list[PlanStep]":
        """What to scan, in which order."""
        return points_plan(run.design, run.settings.coils)

    def simulate(
        self,
        run: PointsRun,
        folder: Path,
        settings: SimulatePoints,
        faults: "dict[FaultName, float]",
        scene: Path | None,
        seed: int,
        force: bool,
    ) -> Written:
        """A scan of the run's points, or of all of them, with a noise scan.

        `scene`: a complex or real volume (readout, lines, partitions) as .npy; None: a procedural one, none of whose
        slices is a training image.
        """
        design, own = run.design, run.settings
        scanner = scanner_settings(
            coils=own.coils if settings.coils is None else settings.coils,
            gain=settings.gain,
            noise=own.noise if settings.noise is None else settings.noise,
            correlation=settings.correlation,
            echo_shift_samples=settings.echo_shift_samples,
            oversampling=settings.oversampling,
            seed=seed,
            scene=str(scene) if scene else f"procedural volume, seed {seed}",
            faults=faults,
        )
        if scene is None:
            volume = procedural_volume(design.readout, design.matrix, seed + PHANTOM_SEED_OFFSET, own.echo)
        else:
            volume = read_volume(scene, design.readout, design.matrix)
        # Other coils than the run's simulated ones: a calibration has to find them.
        maps = volume_coils(scanner.coils, design.readout, design.matrix, seed + 1)
        points = (
            np.argwhere(np.ones(design.matrix)) if settings.all_points else ordered_points(design, "segments").points
        )
        write_points_capture(
            folder, points_record(design, scanner, now_utc()), simulate_volume(points, volume, maps, scanner), force
        )
        value: JsonObject = {
            "capture": str(folder),
            "run": str(run.known_as),
            "points": len(points),
            "scanner": scanner.model_dump(mode="json"),
        }
        return Written(folder, value, "simulated scanner", _scan_table(scanner, design, len(points)), [])

    def read_capture(self, path: Path, settings: ReadPoints | CalibratePoints) -> RawVolume:
        """Raw data of any kind that is read, or a simulated capture."""
        return read_points(path, settings.measurement, settings.encoding, settings.slice_index)

    def calibrate(
        self, run: PointsRun, capture: RawVolume, folder: Path, settings: CalibratePoints, force: bool
    ) -> tuple[StoredPointsCalibration, Written]:
        """Noise, coil maps of every slice, echo shift and scale."""
        if (settings.acs_lines is None) != (settings.acs_partitions is None):
            raise InputError("--set acs_lines and acs_partitions: the region has both; give both or none")
        size = None
        if settings.acs_lines is not None and settings.acs_partitions is not None:
            size = settings.acs_lines, settings.acs_partitions
        found, verification = calibrate_and_verify_volume(capture, run.design, size, settings.kernel)
        stored = write_points_calibration(folder, capture, run.design, found, verification, now_utc(), force)
        value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
        shown = estimates_table(_estimates(stored))
        return stored, Written(stored.path, value, _captured(capture), shown, list(found.notes))

    def nominal_calibration(self, run: PointsRun, capture: RawVolume) -> StoredPointsCalibration:
        """Noise, coil maps and scale of the capture itself, by the centre that the design measures anyway."""
        with tempfile.TemporaryDirectory() as temporary:
            stored, _ = self.calibrate(run, capture, Path(temporary) / "calibration", CalibratePoints(), False)
        notes = (*stored.calibration.notes, SELF_CALIBRATED)
        return replace(stored, path=capture.path, calibration=replace(stored.calibration, notes=notes))

    def read_calibration(self, folder: Path) -> StoredPointsCalibration:
        """A calibration folder."""
        return read_points_calibration(folder)

    def reconstructor(self) -> "PointsReconstructor":
        """Magnitudes of every slice with the student and baselines."""
        # Torch loads only where something is decoded.
        from cidesign.modalities.mri.points.reconstruct import PointsReconstructor

        return PointsReconstructor()

    def record_type(self, reader: str | None) -> type[PointsReconstructionRecord]:
        """What the record of a reconstruction holds."""
        return PointsReconstructionRecord

    def student(self, run: PointsRun, calibration: StoredPointsCalibration | None) -> "Student":
        """Complex slices (N, M) from their k-space (coils, N, M), told the design.

        Raises `InputError` for a calibration: every slice has coil maps of its own.
        """
        if calibration is not None:
            raise InputError(
                f"{calibration.path}: every position along the readout has coil maps of its own, one student has those "
                "of one; reconstruct the capture, or leave the calibration out"
            )
        from cidesign.reconstruct.student import student_of

        return student_of(run, run.design.matrix, None, None, is_complex=True)


def _scan_table(scanner: SimulatedScanner, design: CartesianPoints, count: int) -> str:
    rows = [
        ("points", f"{count} of {design.lines} x {design.partitions}, {design.readout * scanner.oversampling} samples"),
        ("coils", f"{scanner.coils}, noise correlation {scanner.correlation:g} between neighbours"),
        ("noise", f"{scanner.noise:g} of the largest magnitude, in each part of a k-space sample"),
        ("echo", f"{scanner.echo_shift_samples:+g} samples from the middle"),
        ("scene", scanner.scene),
        ("phantom", "none: no known phantom is scanned with points"),
        ("faults", ", ".join(f"{name}={strength:g}" for name, strength in scanner.faults.items()) or "none"),
    ]
    return table(rows)


def _captured(raw: RawVolume) -> str:
    return (
        f"{raw.readouts.source}, {len(raw.points)} of {raw.matrix[0]} x {raw.matrix[1]} points of {raw.samples} "
        f"samples, {raw.coils} coil(s)"
    )


def _estimates(stored: StoredPointsCalibration) -> list[Row]:
    """What was found, and the truth of a simulated scanner beside it."""
    record, scanner = stored.record, stored.record.simulated_scanner
    deviation = (record.noise_variance / 2) ** 0.5
    rows = {
        "noise": Row("noise of a sample", f"{deviation:.4g}", "in each part, units of the file"),
        "correlation": Row("largest noise correlation", f"{record.largest_noise_correlation:.3f}", "between two coils"),
        "echo": Row("echo shift", f"{record.echo_shift_samples:+.3f}", "samples (with the object's own linear phase)"),
        "scale": Row("scale", f"{record.scale:.5g}", "units of the training images for one of the file"),
        "scaled": Row("noise after scaling", f"{deviation * record.scale:.4g}", "of a full scale of 1"),
        "region": Row("calibration region", f"{record.acs[0]} x {record.acs[1]}", "central points"),
        "kernel": Row(
            "kernel", "-" if record.kernel is None else f"{record.kernel} x {record.kernel}", "of the coil maps"
        ),
        "support": Row("support of the maps", f"{record.support:.0%}", "of the volume"),
    }
    truths: dict[str, str] = {}
    if scanner is not None:
        late = scanner.echo_shift_samples + scanner.faults.get("trajectory-delay", 0.0)
        truths = {
            "noise": f"{scanner.noise * scanner.gain:.4g}",
            "correlation": f"{scanner.correlation if scanner.coils > 1 else 0.0:.3f}",
            "echo": f"{late:+.3f} and the object's",
        }
    return [row._replace(truth=truths.get(key)) for key, row in rows.items()]
