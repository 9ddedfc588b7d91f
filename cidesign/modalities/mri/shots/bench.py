"""A scanner that plays shots: its twin, its calibration, the plan of scans, and how samples become images."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cidesign.calibration.mri.phantom import draw_phantom
from cidesign.calibration.mri.shots.capture import RawShots, write_shots_capture
from cidesign.calibration.mri.shots.raw import read_shots
from cidesign.calibration.mri.shots.record import (
    StoredShotsCalibration,
    read_shots_calibration,
    write_shots_calibration,
)
from cidesign.calibration.mri.shots.twin import FAULTS, shots_record, shots_scanner, simulate_shots
from cidesign.calibration.mri.shots.verify import calibrate_and_verify_shots
from cidesign.calibration.plan import PlanStep
from cidesign.calibration.written import Row, Written, estimates_table
from cidesign.errors import InputError
from cidesign.export.mri.shots.files import First
from cidesign.files import JsonObject
from cidesign.modalities.mri.bench import coils_of, scene_of
from cidesign.modalities.mri.shots.beside import trajectory_beside
from cidesign.modalities.mri.shots.record import ShotsRecord
from cidesign.modalities.mri.shots.run import ShotsRun
from cidesign.modality import Bench
from cidesign.pattern.shots import Unit
from cidesign.records import Finite, Positive, now_utc
from cidesign.text import table
from cidesign.verb_settings import InputPath, Name, VerbSettings

if TYPE_CHECKING:
    from cidesign.checks import FaultName
    from cidesign.modalities.mri.shots.reconstruct import ShotsReconstructor
    from cidesign.reconstruct.student import Student

SELF_CALIBRATED = (
    "no calibration was named: noise, gradient delay, coil maps and scale are those of the capture's own centre"
)


class SimulateShots(VerbSettings):
    """What `simulate` can be told of a scanner; `coils` and `noise` None: as the run.

    The delays are those of the gradients along rows and columns; `phantom`: also scan a known one.
    """

    coils: Annotated[int, Field(ge=1, le=128)] | None = None
    gain: Positive = 1e-3
    noise: Positive | None = None
    correlation: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.3
    delay_rows_us: Finite = 1.5
    delay_columns_us: Finite = 0.8
    phantom: bool = True


class ReadShots(VerbSettings):
    """What a raw data file leaves open; a capture folder leaves nothing.

    `trajectory`: the file of one that lies beside it (.npy, .cfl, .seq); `units` and `first` component of a trajectory
    whose file does not say them; which measurement, encoding and slice.
    """

    trajectory: InputPath | None = None
    units: Unit | None = None
    first: First | None = None
    measurement: Name | None = None
    encoding: int | None = None
    slice_index: int | None = None


class ShotsBench(Bench[ShotsRun, RawShots, StoredShotsCalibration, SimulateShots, ReadShots, ReadShots]):
    """Noise scan, phantom, the shots of the design."""

    simulate_settings, calibrate_settings, read_settings = SimulateShots, ReadShots, ReadShots
    faults = FAULTS

    def plan(self, run: ShotsRun) -> list[PlanStep]:
        """What to scan, in which order."""
        return [
            PlanStep(
                title="Noise scan",
                how="readouts as in the image, without a pulse; exports of this program begin with one (`noise_scan`)",
                arrays="`noise` (coils, samples) in a capture folder",
                why="noise covariance; else the outermost samples stand in",
                needed=False,
            ),
            PlanStep(
                title="Phantom with marks",
                how=f"all {run.design.shots} shots of a phantom whose drawing you have, with marks in all corners and "
                "no symmetry; same coils, field of view and gain",
                arrays="`phantom` and `phantom_truth` in a capture folder",
                why="gradients that run against their names",
                needed=False,
            ),
            PlanStep(
                title="The scan itself",
                how=f"the {run.design.shots} shots of the design (export them as .seq); do not touch coils or gain in "
                "between",
                arrays="ISMRMRD with trajectories, Siemens twix, samples (.cfl, .npy) beside a trajectory, or a "
                "capture folder with `k` (coils, shots, samples)",
                why="gradient delay, coil maps, scale, and the image",
                needed=True,
            ),
        ]

    def simulate(
        self,
        run: ShotsRun,
        folder: Path,
        settings: SimulateShots,
        faults: "dict[FaultName, float]",
        scene: Path | None,
        seed: int,
        force: bool,
    ) -> Written:
        """A scan of the run's shots, with a noise scan and a scan of a known phantom.

        `scene`: a complex or real image (H, W) as .npy, or slices in any file that is read for training; None: a
        procedural slice, never a training image.
        """
        design, own = run.design, run.settings
        scanner = shots_scanner(
            coils=own.coils if settings.coils is None else settings.coils,
            gain=settings.gain,
            noise=own.noise if settings.noise is None else settings.noise,
            correlation=settings.correlation,
            delay_rows_us=settings.delay_rows_us,
            delay_columns_us=settings.delay_columns_us,
            seed=seed,
            scene=str(scene) if scene else f"procedural slice, seed {seed}",
            faults=dict(faults),
        )
        image, said = scene_of(scene, design.size, seed, own.echo)
        maps = coils_of(scanner.coils, design.size, seed + 1)
        drawing = draw_phantom(*design.size) if settings.phantom else None
        arrays = simulate_shots(design, image, maps, scanner, drawing)
        write_shots_capture(folder, shots_record(design, scanner, now_utc()), arrays, force)
        rows = [
            ("shots", f"{design.shots}, {design.samples_per_shot} samples each"),
            ("coils", f"{scanner.coils}, noise correlation {scanner.correlation:g} between neighbours"),
            ("noise", f"{scanner.noise:g} of the largest magnitude, in each part of a sample"),
            ("gradients", f"{scanner.delay_rows_us:+g} us (rows) and {scanner.delay_columns_us:+g} us (columns) late"),
            ("scene", scanner.scene),
            ("phantom", "all shots" if settings.phantom else "none"),
            ("faults", ", ".join(f"{name}={strength:g}" for name, strength in scanner.faults.items()) or "none"),
        ]
        value: JsonObject = {
            "capture": str(folder),
            "run": str(run.known_as),
            "shots": design.shots,
            "scanner": scanner.model_dump(mode="json"),
            "notes": [*said],
        }
        return Written(folder, value, "simulated scanner", table(rows), said)

    def read_capture(self, path: Path, settings: ReadShots) -> RawShots:
        """Raw data of any kind that is read, or a capture folder."""
        chosen = {name: getattr(settings, name) for name in ("measurement", "encoding", "slice_index")}
        if settings.trajectory is not None:
            beside = trajectory_beside(settings.trajectory, settings.units, settings.first)
            return read_shots(path, beside, **chosen)
        if settings.first is not None:
            raise InputError(f"--set first={settings.first}: is of a file named by --set trajectory; leave it out")
        return read_shots(path, units=settings.units, **chosen)

    def calibrate(
        self, run: ShotsRun, capture: RawShots, folder: Path, settings: ReadShots, force: bool
    ) -> tuple[StoredShotsCalibration, Written]:
        """Noise, gradient delay, coil maps and scale."""
        found, verification = calibrate_and_verify_shots(capture, run.design)
        stored = write_shots_calibration(folder, capture, run.design, found, verification, now_utc(), force)
        value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
        said = f"{capture.source}, {run.design.shots} shots, {capture.coils} coil(s)"
        return stored, Written(stored.path, value, said, estimates_table(_estimates(stored)), list(found.notes))

    def nominal_calibration(self, run: ShotsRun, capture: RawShots) -> StoredShotsCalibration:
        """Noise, delay, maps and scale of the capture itself."""
        with tempfile.TemporaryDirectory() as temporary:
            stored, _ = self.calibrate(run, capture, Path(temporary) / "calibration", ReadShots(), False)
        notes = (*stored.calibration.notes, SELF_CALIBRATED)
        return replace(stored, path=capture.path, calibration=replace(stored.calibration, notes=notes))

    def read_calibration(self, folder: Path) -> StoredShotsCalibration:
        """A calibration folder."""
        return read_shots_calibration(folder)

    def reconstructor(self) -> "ShotsReconstructor":
        """Magnitudes with the student and baselines."""
        # Torch loads only where something is decoded.
        from cidesign.modalities.mri.shots.reconstruct import ShotsReconstructor

        return ShotsReconstructor()

    def record_type(self, reader: str | None) -> type[ShotsRecord]:
        """What the record of a reconstruction holds."""
        return ShotsRecord

    def student(self, run: ShotsRun, calibration: StoredShotsCalibration | None) -> "Student":
        """Complex images (H, W) from samples (coils, shots, samples), whitened where a calibration is given."""
        from cidesign.modalities.mri.shots.solve import calibrated_shots
        from cidesign.reconstruct.student import student_of

        encoder = None
        if calibration is not None:
            calibration.require_fitting(run.design)
            encoder = calibrated_shots(run.design, calibration.calibration)
        return student_of(run, run.design.size, calibration, encoder, is_complex=True)


def _estimates(stored: StoredShotsCalibration) -> list[Row]:
    """What was found, and the truth of a simulated scanner beside it."""
    record, scanner = stored.record, stored.record.simulated_scanner
    deviation = (record.noise_variance / 2) ** 0.5
    truth = (None,) * 2 if scanner is None else tuple(f"{delay / 1e3:+.3f}" for delay in scanner.delays_ns)
    noise = None if scanner is None else f"{scanner.noise * scanner.gain:.4g}"
    kernel = record.kernel
    return [
        Row("noise of a sample", f"{deviation:.4g}", "in each part, units of the file", truth=noise),
        Row("gradient delay, rows", f"{record.delays_ns[0] / 1e3:+.3f}", "us", truth=truth[0]),
        Row("gradient delay, columns", f"{record.delays_ns[1] / 1e3:+.3f}", "us", truth=truth[1]),
        Row("scale", f"{record.scale:.5g}", "units of the training images for one of the file"),
        Row("noise after scaling", f"{deviation * record.scale:.4g}", "of a full scale of 1"),
        Row("centre", str(record.radius), "steps of 1/FOV around it that maps were made of"),
        Row("kernel", "-" if kernel is None else f"{kernel} x {kernel}", "of the coil maps"),
    ]
